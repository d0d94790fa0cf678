"""
Passwords: which are accepted, and their hashes.

`rules.py` accepts or rejects a new password. `hashing.py` makes and verifies
hashes in a fixed number of threads, with the fastest build of argon2 for the processor
(`argon2_build.py`); `foreign_hashes.py` verifies hashes of other systems. Knows no database.
"""
