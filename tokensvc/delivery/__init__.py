"""
Delivery of cut-offs and profiles to Stream.

`rules.py` (pure) and `store.py` contain what Stream is known to hold and when it is called next.
`sender.py` sends, with `leases.py` and `caller.py`. `service.py` is for routes and operators. A
delivery transfers the current state; it does not replay actions.
"""
