"""
Sessions of built-in accounts.

A session is a refresh family: one row, whatever the number of its refresh tokens. Owns the text of
a refresh token (`refresh_tokens.py`) and the result of presenting one (`rules.py`).
"""
