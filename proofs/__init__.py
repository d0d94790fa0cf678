"""
Long proofs of the service's promises: `python -m proofs.NAME` prints the figures of one.

The runs themselves are in `testing/runs/`. Each has a short form among the tests.
"""
