"""
Log lines and metrics.

Contains the formatting, redaction and writing of lines, and the metric objects that others
increment. `http` writes the line of a request, and `ops` serves the metrics.
"""
