"""
The ring of Stream keys and the vault that encrypts it.

Owns which key signs for whom (`rules.py`, pure), encryption at rest (`vault.py`), the rows
(`store.py`) and the copy that a worker holds (`service.py`). Leaves signing to `tokens`.
"""
