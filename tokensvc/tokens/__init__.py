"""
`GET` and `POST /v1/token`: the token provider endpoint.

Owns the decision (`rules.py`), the signature (`signer.py`), the numbered path from request to
token (`service.py`) and its HTTP (`routes.py`). Leaves to others who the caller is (`callers`),
what their standing is (`standing`) and which keys exist (`keys`).
"""
