"""INSERT statements that handle a conflict with an existing row."""

from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from tokensvc.database.engine import Transaction

Insert: TypeAlias = postgresql.Insert | sqlite.Insert


def insert(tx: Transaction, table: sa.Table) -> Insert:
    """Return an INSERT in the dialect of the transaction, which has `on_conflict_do_…`."""
    return postgresql.insert(table) if tx.dialect.name == "postgresql" else sqlite.insert(table)
