"""
The key ring and the vault that encrypts it.

Owns the states of keys and their transitions (`rules.py`, pure), encryption at rest (`vault.py`)
and the change of its keys (`reencryption.py`), the rows (`store.py`), the decrypted ring of a
process (`service.py`), the actions (`rotation.py`, `verification.py`), the count of mints without
an API key (`unnamed_mints.py`) and the routes. Signing belongs to `tokens`.
"""
