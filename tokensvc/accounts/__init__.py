"""
Built-in accounts: users who sign up here with a password.

Owns sign-up and deletion (`service.py`), invitations and reset codes (`codes.py`), import and
export (`transfer.py`), which passwords are accepted and their hashes (`passwords/`), and how fast
passwords can be guessed (`lock_out/`). `sign_in` checks a password and opens a session.
"""
