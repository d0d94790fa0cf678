"""
Encryption of stored secrets.

`vault.py` encrypts and decrypts, with keys of the settings or of a file (`key_file.py`). `store.py`
reads and writes a column of secrets, whose table another package owns, and `reencryption.py`
changes the encryption key of all of them.
"""
