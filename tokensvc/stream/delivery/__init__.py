"""
Delivery of cut-offs and profiles to Stream.

`rules.py` (pure) decides and `store.py` stores what Stream has and when it is called next.
`sender.py` sends, with `leases.py` and `stream_calls.py`. `service.py` is for routes and operators.
A delivery transfers the current state; it does not replay actions.
"""
