"""
What a mint costs, beside its peers, measured side by side in one run: `python -m bench`.

Owns the peers, the load, the measurement and the table of ratios. Leaves the service as it is
deployed: the same command, the same settings, everything on. Linux only: it reads /proc.
"""
