"""
Service clients: the app's own backend, with an ID, secrets and scopes.

Owns the rights of clients and who may grant them (`rules.py`), IDs and secrets (`credentials.py`),
what a client looks like from outside (`state.py`), the rows (`store.py`), authentication and the
last use of secrets (`service.py`), changes (`administration.py`) and the routes. HTTP Basic belongs
to `http`.
"""
