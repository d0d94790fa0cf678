"""
Sessions of built-in accounts.

A session is a refresh family: one row, whatever the number of its refresh tokens. Owns the text of
a refresh token (`refresh_tokens.py`), the result of presenting one (`rules.py`), the sessions of a
user (`service.py`, `store.py`), the routes for OAuth clients (`oauth/`), and access tokens with the
keys that sign them (`access_tokens/`). `sign_in` opens sessions.
"""
