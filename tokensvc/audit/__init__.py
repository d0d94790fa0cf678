"""
The audit trail: who did what to whom, when and why.

Owns the events (`rules.py`), their rows (`store.py`), reading and purging them (`service.py`) and
`GET /v1/audit`. An event is written in the transaction of what it reports, by whoever does it.
What was refused is in the log. Mints are logged and counted, not audited, but for an operator's.
"""
