"""
Start-up, and the only place that builds objects from settings.

Owns the container (`container.py`), the routes that are mounted (`mount.py`) and what comes before
the first request (`startup.py`).
"""
