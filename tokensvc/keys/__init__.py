"""
Both key rings, and the vault that encrypts them.

What both rings share: the states of keys and their transitions (`states.py`, pure), the rows
(`store.py`), the decrypted ring of a process (`ring.py`) and the frame of an action (`actions.py`).

Stream keys: `rules.py`, `service.py`, `rotation.py`, `verification.py`, `active_key_check.py`, and
the count of mints without an API key (`unnamed_mints.py`). Keys of access tokens:
`signing_rules.py`, `signing_keys.py`, `signing_rotation.py`.

Also encryption at rest (`vault.py`, `key_file.py`), the change of its keys (`reencryption.py`) and
the routes. Signing belongs to `tokens` and `sessions`.
"""
