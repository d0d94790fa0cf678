"""
Bringing cut-offs and profiles over to Stream.

Owns what Stream is known to hold and when it is told next (`rules.py`, pure; `store.py`), and the
loop that tells it (`service.py`). A delivery brings the current state over, it does not replay
events. Leaves the calls themselves to `stream`.
"""
