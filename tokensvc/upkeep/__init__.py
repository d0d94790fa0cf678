"""
What a worker does beside its requests: write down usage, purge the audit trail.

Owns the figures in memory (`usage.py`), which requests raise and nothing else, and the background
thread (`loop.py`). Leaves the rows to `clients`, `keys` and `audit`.
"""
