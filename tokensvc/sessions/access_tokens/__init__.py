"""
Access tokens of built-in accounts, and the keys that sign them.

`tokens.py` signs and verifies the tokens. The keys form a ring like Stream's (`stream/keys`), with
rules (`rules.py`), rows (`store.py`), the keys in use (`signing_keys.py`), their rotation
(`rotation.py`) and routes.
"""
