"""Deletion of rows in batches, so that no transaction holds locks for long."""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import sqlalchemy as sa

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction

BATCH: Final = 100
"""Maximum number of rows of each kind that a transaction deletes."""

Purge: TypeAlias = Callable[[Transaction, float, int], int]
"""
Function that deletes rows that nothing needs at a time: at most a number of each kind. It returns
the highest number of a kind.
"""


def purge_step(
    database: Database, database_clock: DatabaseClock, purge: Purge, *, batch: int = BATCH
) -> bool:
    """Delete one batch of each kind, and return whether more may be left."""
    with database.write() as tx:
        return purge(tx, database_clock.read(tx), batch) == batch


def delete_batch(
    tx: Transaction,
    table: sa.Table,
    condition: sa.ColumnElement[bool],
    *,
    order: sa.Column[Any],
    limit: int,
) -> int:
    """
    Delete the first rows that fit, and return their number.

    Args:
        condition: Condition of the rows.
        order: Column whose lowest values are deleted first.
        limit: Maximum number of rows.
    """
    key = table.primary_key.columns
    # It does not wait for locks: rows that another transaction has locked stay for the next batch.
    # In one statement PostgreSQL may run the selection once for each row of the table.
    rows_to_delete = sa.select(*key).where(condition).order_by(order).limit(limit)
    rows = tx.execute(rows_to_delete.with_for_update(skip_locked=True)).mappings().all()
    if rows:
        # One key per statement: SQLite reads the whole table to find a list of pairs.
        is_row = sa.and_(*(column == sa.bindparam(column.name) for column in key))
        tx.execute(table.delete().where(is_row), [dict(row) for row in rows])
    return len(rows)
