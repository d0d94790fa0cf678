"""
The OAuth routes of apps and services: tokens, revocation and metadata.

`routes.py` calls `service.py`, which has the grants. The form of refusals is in
`http/oauth_errors.py`, because requests that reach no route get it too.
"""
