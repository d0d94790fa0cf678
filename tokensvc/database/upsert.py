"""INSERT statements that handle a conflict with an existing row."""

from importlib import import_module
from typing import TYPE_CHECKING

import sqlalchemy as sa

from tokensvc.database.engine import Transaction

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def insert(tx: Transaction, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """Return an INSERT in the dialect of the transaction, which has `on_conflict_do_…`."""
    return insert_in(tx.dialect.name, table)


def insert_in(dialect: str, table: sa.Table) -> "postgresql.Insert | sqlite.Insert":
    """Return an INSERT as `insert` does, by the name of the dialect, to keep the statement."""
    # Only this dialect: each takes a part of the start.
    statement: postgresql.Insert | sqlite.Insert = import_module(
        f"sqlalchemy.dialects.{dialect}"
    ).insert(table)
    return statement
