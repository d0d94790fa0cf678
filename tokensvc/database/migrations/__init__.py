"""Alembic's environment and the steps, shipped inside the package and run by `schema.py`."""
