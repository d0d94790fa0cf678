"""
What operators see: log lines and metrics.

Owns how a line is made, redacted and written, and the metric objects that others increment. Which
line a request gets, and where metrics are served, is up to `http` and `ops`.
"""
