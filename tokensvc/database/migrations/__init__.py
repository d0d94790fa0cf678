"""Alembic's environment and the migrations, run by `schema.py`."""
