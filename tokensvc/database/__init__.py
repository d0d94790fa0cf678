"""
The database: SQLite for one host or PostgreSQL for several, behind one interface.

Contains connections and transactions (`engine.py`), statements on the driver's own connections
(`statements.py`), the parts that differ (`sqlite.py`, `postgresql.py`), migrations (`schema.py`)
and the lock of a process tree (`lock.py`). Tables and statements are in the packages that own them.
"""
