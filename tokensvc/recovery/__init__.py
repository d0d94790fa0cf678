"""
Backup and recovery: the manifest of a backup, and what a restored database must learn.

`manifest.py` describes and checks a backup, `postgresql.py` has the commands of PostgreSQL,
`export.py` reads an export of the audit trail, `replay.py` applies its events, and `service.py`
does all that makes a restored database safe to use. This package owns no table.
"""
