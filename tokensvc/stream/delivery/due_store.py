"""The rows that a sender may send now: those that are due, and how much of each budget is used."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from tokensvc.database.engine import Transaction
from tokensvc.database.upsert import insert
from tokensvc.stream.delivery import rules
from tokensvc.stream.delivery.rules import Delivery, DeliveryKind, DeliveryState, Queue
from tokensvc.stream.delivery.store import delivery_of_row
from tokensvc.stream.delivery.tables import IS_OPEN, budgets, deliveries

_columns = deliveries.c
_other = deliveries.alias("other")


def _has_other(
    kinds: Collection[DeliveryKind], condition: sa.ColumnElement[bool]
) -> sa.ColumnElement[bool]:
    """Return whether the subject of a row has a delivery of these kinds with a condition."""
    names: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{kind}'") for kind in kinds]
    of_subject = (_other.c.kind.in_(names), _other.c.subject == _columns.subject)
    return sa.exists().where(*of_subject, condition)


_is_pending = _other.c.state == sa.literal_column(f"'{DeliveryState.PENDING}'")
_lacks_cut_off = _has_other(["user"], _other.c.late_since.is_not(None))
"""Condition that Stream does not have the cut-off of a row's user yet."""
_is_preceded = sa.or_(
    _has_other(["user"], _is_pending),
    sa.and_(_has_other(rules.REACH, _is_pending), ~_lacks_cut_off),
)
"""
Condition that something that goes before an erasure was not sent to Stream yet.

A cut-off that has failed holds up no erasure, nor does what waits for it.
"""


def is_in(queue: Queue) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions of the rows of a queue."""
    # Literals: a query planner that does not know the values cannot use the partial index.
    return (
        IS_OPEN,  # type: ignore[return-value]
        _columns.kind == sa.literal_column(f"'{queue.kind}'"),
        _columns.state == sa.literal_column(f"'{queue.state}'"),
        _columns.is_renewal == (sa.true() if queue.is_renewal else sa.false()),
    )


def is_due(queue: Queue, now: sa.ColumnElement[int]) -> Sequence[sa.ColumnElement[bool]]:
    """Return the conditions of the rows of a queue that are due and not leased."""
    is_free = sa.or_(_columns.lease_until.is_(None), _columns.lease_until <= now)
    conditions = (*is_in(queue), _columns.due_at <= now, is_free)
    match queue.kind:
        case "hint" | "devices":
            return (*conditions, ~_lacks_cut_off)
        case "erasure":
            return (*conditions, ~_is_preceded)
    return conditions


def lock_due(tx: Transaction, queue: Queue, now: float, limit: int) -> list[Delivery]:
    """Lock and return rows that are due and not leased, the longest due first."""
    statement = (
        sa.select(deliveries)
        .where(*is_due(queue, sa.literal(int(now), sa.BigInteger)))
        .order_by(_columns.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [delivery_of_row(row) for row in tx.execute(statement)]


def lock_budget(tx: Transaction, endpoint: str) -> int:
    """Lock the budget of an endpoint, and return when it is unused again, in microseconds."""
    tx.execute(insert(tx, budgets).values(endpoint=endpoint).on_conflict_do_nothing())
    row = sa.select(budgets.c.unused_at).where(budgets.c.endpoint == endpoint)
    return int(tx.scalar(row.with_for_update()) or 0)


def write_budget(tx: Transaction, endpoint: str, unused_at: int) -> None:
    """Write when a locked budget is unused again, in microseconds of the epoch."""
    row = budgets.update().where(budgets.c.endpoint == endpoint)
    tx.execute(row.values(unused_at=unused_at))
