"""
What operators and newcomers look at: health, metrics, the contract and its rendered page.

Owns those routes and how a readiness verdict is made of checks. Leaves the checks themselves to
whoever knows what is checked; they are handed in.
"""
