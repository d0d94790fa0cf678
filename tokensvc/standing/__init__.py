"""
The standing of a user: suspension, cut-off and floor, combined with those of the app.

Owns both standing tables (`store.py`) and the arithmetic of cut-offs (`rules.py`, pure).
"""
