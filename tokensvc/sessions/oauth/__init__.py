"""
The OAuth routes of apps and services: tokens, revocation and metadata.

Each grant is one file, with its form and the function that returns its tokens, and one entry of
`GRANTS` in `routes.py`; `grant.py` has what they share. The form of refusals is in
`http/protocol_errors.py`, because requests that reach no route get it too.
"""
