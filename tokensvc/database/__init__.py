"""
The database: SQLite for one host or PostgreSQL for several, behind one interface.

Contains connections and transactions (`engine.py`), statements on the driver's own connections
(`statements.py`), the parts that differ (`sqlite.py`, `postgresql.py`) and migrations
(`schema.py`). Tables and statements are in the packages that own them.
"""
