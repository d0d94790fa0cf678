"""
Acts that take tokens away, and give them back: sign out everywhere, suspend, everyone, undo.

Owns the decisions (`rules.py`, pure), the acts' rows and the locks (`store.py`), the acts
themselves (`service.py`) and their HTTP. An act, its audit event and its mark for delivery to
Stream are one transaction. Leaves to `standing` whom a cut-off covers, and to `delivery` how Stream
hears of it.
"""
