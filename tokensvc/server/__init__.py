"""
The gunicorn worker, its reader of requests and its log.

Everything that subclasses gunicorn's classes or uses its private names is here. Checked with
gunicorn 27.
"""
