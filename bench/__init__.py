"""
The cost of a mint, measured next to its peers in one run: `python -m bench`.

Owns the peers, the load, the measurement and the table of ratios. The service runs as deployed:
same command, same settings, everything enabled. Linux only, because it reads /proc.
"""
