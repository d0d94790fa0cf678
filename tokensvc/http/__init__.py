"""
HTTP for all routes: one wrapper around each request, and the only translation of refusals.

Contains the application (`app.py`), request parsing (`body.py`, `form.py`, `credentials.py`),
responses (`respond.py`, `problems.py`), and checks of host, origin and proxy (`hosts.py`,
`cors.py`, `proxies.py`). The packages that own the routes decide what a route does. What services
need of a request is in `core/current_request.py`.
"""
