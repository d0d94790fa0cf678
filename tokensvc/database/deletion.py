"""Deletion of rows in batches, so that no transaction holds locks for long."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import sqlalchemy as sa

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction


class Purge(ABC):
    """
    Deletes rows that nothing needs.

    Attributes:
        batch: Maximum number of rows of each kind that a transaction deletes.
    """

    batch: ClassVar[int] = 100

    def __init__(self, database: Database, clock: DatabaseClock) -> None:
        self._database = database
        self._clock = clock

    def step(self) -> bool:
        """
        Delete one batch of each kind.

        Returns:
            Whether more may be left.
        """
        with self._database.write() as tx:
            return self._delete(tx, self._clock.read(tx)) == self.batch

    @abstractmethod
    def _delete(self, tx: Transaction, now: float) -> int:
        """Delete at most `batch` rows of each kind, and return the highest number of a kind."""


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
