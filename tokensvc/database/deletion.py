"""Deletion of rows in batches, so that no transaction holds locks for long."""

from typing import Any

import sqlalchemy as sa

from tokensvc.database.engine import Transaction


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
    # Rows that another transaction has locked are left for the next batch: no lock is waited for.
    # In one statement PostgreSQL may run the selection once for each row of the table.
    doomed = sa.select(*key).where(condition).order_by(order).limit(limit)
    rows = tx.execute(doomed.with_for_update(skip_locked=True)).mappings().all()
    if rows:
        # One key a statement: SQLite reads the whole table to find a list of pairs.
        is_row = sa.and_(*(column == sa.bindparam(column.name) for column in key))
        tx.execute(table.delete().where(is_row), [dict(row) for row in rows])
    return len(rows)
