"""
The code that tests, proofs and the bench share.

Contains the HTTP client that checks the contract, strict doubles of an identity provider and of
Stream, harnesses that run the service, PostgreSQL and commands, and the runs of the proofs.
"""
