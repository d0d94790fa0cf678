"""
A credential becomes a `Caller`: a user or a service.

Owns the choice of the verifier by the kind of credential, the rate limits that a request counts
under (`policies.py`), and the refusals common to all routes of a signed-in user (`rules.py`).
`issuers`, `clients` and `sessions` verify; `access_tokens.py` reads the session or the client
behind an access token.
"""
