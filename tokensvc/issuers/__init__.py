"""
Identity providers: a JWT of the app's own provider becomes a `UserCaller`.

Owns what a token must look like (`verify.py`), what its claims must say (`rules.py`), whose keys
verify it (`keyset.py`, `jwks.py`, `fetch.py`, `store.py`), what is known of eight providers
(`presets.py`), and the issuer that `make run` signs demo tokens with (`development.py`). Leaves
what the user may do to `standing` and `tokens`.
"""
