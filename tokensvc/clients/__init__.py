"""
Service clients: the app's own backend, with an id, a secret and scopes.

Owns what they may do and hand on (`scopes.py`, `rules.py`), what a secret is made of
(`credentials.py`), the rows (`store.py`), authentication (`service.py`), the acts of operators and
of clients on clients (`administration.py`) and their HTTP. Leaves HTTP Basic to `http`.
"""
