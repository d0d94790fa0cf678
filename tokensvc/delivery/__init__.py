"""
Bringing cut-offs and profiles over to Stream.

Owns what Stream is known to hold and when it is told next (`rules.py`, pure; `store.py`), the
sender that tells it (`sender.py`, with what it holds in `leases.py` and how it calls in
`caller.py`), the loop around that (`loop.py`), and what people and routes ask of it (`service.py`).
A delivery brings the current state over, it does not replay events. Leaves the calls themselves to
`stream`, and the acts to `revocations`.
"""
