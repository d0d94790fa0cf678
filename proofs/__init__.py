"""
Long proofs of what the service promises, each printing its figures: `python -m proofs.NAME`.

Every one has a short form among the tests. They use the tests' doubles and the real service.
"""
