"""
Delivery of cut-offs and profiles to Stream.

`rules.py` (pure) decides and `store.py` stores what Stream has and when it is called next.
`lanes.py` is the table of what is sent, the most urgent first; `cut_offs.py` and `user_objects.py`
claim and send the kinds. `sender.py` works through the lanes, with `leases.py` and
`stream_calls.py`. `service.py` is for routes and operators. A delivery transfers the current state;
it does not replay actions.
"""
