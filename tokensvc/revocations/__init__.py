"""
The actions that revoke and suspend users or the app, and their undo and reinstatement.

Owns the decisions (`rules.py`, pure), the rows of revocations (`store.py`), the actions
(`service.py`) and their routes. An action, its audit event and its pending delivery to Stream are
one transaction. `standing` decides which sign-ins a cut-off refuses; `delivery` sends it to Stream.
"""
