"""
Everything about Stream.

`api.py` is the only caller of Stream's server API, with the rights of the app's owner. It is given
a key and knows no ring. `keys/` has the ring of Stream keys, `delivery/` sends cut-offs and
profiles.
"""
