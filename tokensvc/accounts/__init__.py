"""
Built-in accounts: users who sign up here with a password.

Owns which passwords are accepted (`passwords.py`), their hashes (`hashing.py`), the hashes of other
systems (`foreign_hashes.py`) and how fast passwords can be guessed (`lock_out.py`). `sessions`
decides what a sign-in results in.
"""
