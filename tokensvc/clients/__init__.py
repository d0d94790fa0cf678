"""
Service clients: the app's own backend, with an ID, secrets and scopes.

Owns the rights of clients and who may grant them (`rules.py`), the form of IDs and
secrets (`credentials.py`, `creation.py`), what a client looks like from outside (`state.py`), the
rows (`store.py`), authentication (`service.py`), changes (`administration.py`), the last use of
secrets (`usage.py`) and the routes. HTTP Basic belongs to `http`.
"""
