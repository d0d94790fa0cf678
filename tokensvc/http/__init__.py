"""
What every route shares: one wrapper around each request, and the only translation of refusals.

Owns the application (`app.py`), request parsing (`body.py`, `credentials.py`), answers
(`respond.py`, `problems.py`), what surrounds a request (`hosts.py`, `cors.py`, `proxies.py`) and
the gunicorn worker (`worker.py`). Leaves what a route does to the package that has the route.
"""
