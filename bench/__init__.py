"""
The cost of a mint, measured next to its peers: `python -m bench`. Results are in RESULTS.md.

The service runs as deployed: same command, same settings, everything enabled. Linux only, because
it reads /proc. Every token is sent once in a run.
"""
