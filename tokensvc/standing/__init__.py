"""
The standing of a user: what decides, beside the credential, whether a token may be minted.

Owns the cut-off arithmetic (pure, `rules.py`) and the one read of the standing (`store.py`).
"""
