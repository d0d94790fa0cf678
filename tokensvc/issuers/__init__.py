"""
Identity providers: a JWT of the app's own provider becomes a `UserCaller`.

Owns the form of a token (`verify.py`), the checks of its claims (`rules.py`), the keys that verify
it (`keyset.py`, `jwks.py`, `shared_fetch.py`, `store.py`) and the presets of eight providers
(`presets.py`). `standing` and `tokens` decide what the user may do.
"""
