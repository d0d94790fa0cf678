"""
The audit trail: who did what to which target, when and why.

Owns the events (`rules.py`), their rows (`store.py`), reading and purging (`service.py`) and
`GET /v1/audit`. Each action writes its event in its own transaction. The log has refused actions.
Mints are logged and counted but not audited, except those of an operator.
"""
