"""
Who calls: a credential becomes a `Caller`, of whichever kind.

Owns the choice of the verifier by the kind of credential, the limit on failed authentications by
address, and what every route of a signed-in user refuses (`rules.py`). Leaves the verification to
`issuers` and `clients`.
"""
