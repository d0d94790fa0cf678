"""
The ring of Stream keys and the vault that encrypts it.

Owns which key signs for whom and what an act makes of a ring (`rules.py`, pure), encryption at rest
(`vault.py`) and the change of its keys (`reencryption.py`), the rows (`store.py`), the copy that a
worker holds (`service.py`), the acts (`rotation.py`) and their routes. Leaves signing to `tokens`.
"""
