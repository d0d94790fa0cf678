"""
What tests, proofs and the bench share.

Owns the HTTP client that validates against the contract, the strict doubles of an identity provider
and of Stream, and the harnesses that run real parts: the service, PostgreSQL, Redis and commands.
"""
