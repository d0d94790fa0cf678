"""
The events of identity providers: logouts, and changes of accounts.

`issuers/events.py` verifies an event. This package applies it once, with the actions of
`revocations`.
"""
