"""
Built-in accounts: users who sign up here with a password.

Owns sign-up and deletion (`service.py`), invitations and reset codes (`codes.py`), import and
export (`transfer.py`), which passwords are accepted (`passwords.py`), their hashes (`hashing.py`),
the hashes of other systems (`foreign_hashes.py`), the check of a password (`sign_in.py`) and how
fast passwords can be guessed (`lock_out.py`). `sessions` decides what a sign-in results in.
"""
