"""
The database: SQLite for one host, PostgreSQL past it, behind one small interface.

Owns connections and transactions (`engine.py`), the hot read (`prepared.py`), what differs between
the two (`sqlite.py`, `postgresql.py`), the tables and their migrations (`tables.py`, `schema.py`)
and the lock of a process tree (`lock.py`). Leaves every statement to the stores.
"""
