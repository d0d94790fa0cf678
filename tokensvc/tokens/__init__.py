"""
`GET` and `POST /v1/token`: the token provider endpoint.

Owns the decision (`rules.py`), the signature (`signer.py`), the numbered steps from request to
token (`service.py`) and the HTTP routes (`routes.py`). Others decide who the caller is (`callers`),
what the standing is (`standing`) and which keys exist (`keys`).
"""
