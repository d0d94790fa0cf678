"""
The ring of Stream keys, and what every ring of keys has.

Every ring: the states of keys and their transitions (`states.py`, pure), the rows (`store.py`), the
decrypted ring of a process (`ring.py`) and the frame of an action (`actions.py`).

Stream keys: `rules.py`, `service.py` (with the count of mints without an API key), `rotation.py`,
`verification.py`, `active_key_check.py` and the routes. Signing belongs to `tokens`.
"""
