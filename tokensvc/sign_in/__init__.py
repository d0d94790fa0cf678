"""
Sign-in: from a password to a session.

`service.py` has the steps in their order and opens the transaction. `attempts.py` checks the
password and counts failures, `store.py` reads what an attempt depends on, `rules.py` (pure) says
why one is refused. Also the change of a password, which needs the current one.
"""
