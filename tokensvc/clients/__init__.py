"""
Service clients: the app's own backend, with an id, a secret and scopes.

Owns what they may do (`scopes.py`), what a secret is made of (`credentials.py`), the rows
(`store.py`), and authentication and upkeep (`service.py`). Leaves HTTP Basic to `http`.
"""
