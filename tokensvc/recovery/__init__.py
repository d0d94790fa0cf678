"""
Backup and recovery: how a backup is made, and what must be done after a restore.

`backup.py` makes and restores a backup, `manifest.py` describes and checks one, and `postgresql.py`
has the commands of PostgreSQL. `service.py` makes a restored database safe to use: `export.py`
reads an export of the audit trail and verifies the chain of its lines; `events.py` has a record for
each kind of event that `replay.py` and `standing_replay.py` apply. This package owns no table.
"""
