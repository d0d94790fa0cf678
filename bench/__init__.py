"""
Measures the cost of a mint next to its peers, in one run: `python -m bench`.

Contains the peers, the load, the measurement and the table of ratios. The service runs as it is
deployed, with the same command and settings. Linux only: it reads /proc.
"""
