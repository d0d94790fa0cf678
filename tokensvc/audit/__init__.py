"""
The audit trail: who did what to whom, when, and how it ended.

Owns the events (`rules.py`), their rows (`store.py`), reading and purging them (`service.py`) and
`GET /v1/audit`. An event is written in the transaction of what it reports, by whoever does it.
Mints are logged and counted, not audited, but for an operator's.
"""
