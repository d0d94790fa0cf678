"""
The marker of the live database: one row, which no backup contains.

A database without it was restored. It does not know what happened after the backup, so a start
would accept again what was refused since.
"""

import sqlalchemy as sa

from tokensvc.database.engine import Connection, Transaction
from tokensvc.database.tables import live_database
from tokensvc.database.upsert import insert

MARKER_TABLE = live_database.name


def has_marker(connection: Connection) -> bool:
    """Return whether the database has the marker."""
    return connection.execute(sa.select(live_database)).first() is not None


def is_sign_up_closed(connection: Connection) -> bool:
    """Return whether open sign-up is closed since a restore."""
    return bool(connection.scalar(sa.select(live_database.c.sign_up_closed)))


def write_marker(tx: Transaction, *, sign_up_closed: bool) -> None:
    """Write the marker."""
    values = {"sign_up_closed": sign_up_closed}
    row = insert(tx, live_database).values(id=1, **values)
    tx.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))
