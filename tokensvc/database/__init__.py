"""
The database: SQLite for one host or PostgreSQL for several, behind one interface.

Contains connections and transactions (`engine.py`), statements on the driver's own connections
(`statements.py`), the parts that differ (`sqlite.py`, `postgresql.py`), tables and migrations
(`tables/`, `schema.py`) and the lock of a process tree (`lock.py`). All statements are in the
stores of other packages.
"""
