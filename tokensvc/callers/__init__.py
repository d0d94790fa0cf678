"""
A credential becomes a `Caller`: a user or a service.

Owns the choice of the verifier by the kind of credential. `rules.py` has the rate limits that a
request counts under, and the refusals common to all routes of a signed-in user. `issuers`,
`clients` and `sessions` verify; `access_tokens.py` reads the session or the client behind an access
token.
"""
