"""The rows of budgets: how much of each is used."""

import sqlalchemy as sa

from tokensvc.database.engine import Transaction
from tokensvc.database.upsert import insert
from tokensvc.stream.delivery.tables import budgets


def lock(tx: Transaction, endpoint: str) -> int:
    """Lock the budget of an endpoint, and return when it is unused again, in microseconds."""
    tx.execute(insert(tx, budgets).values(endpoint=endpoint).on_conflict_do_nothing())
    row = sa.select(budgets.c.unused_at).where(budgets.c.endpoint == endpoint)
    return int(tx.scalar(row.with_for_update()) or 0)


def write(tx: Transaction, endpoint: str, unused_at: int) -> None:
    """Write when a locked budget is unused again, in microseconds of the epoch."""
    row = budgets.update().where(budgets.c.endpoint == endpoint)
    tx.execute(row.values(unused_at=unused_at))
