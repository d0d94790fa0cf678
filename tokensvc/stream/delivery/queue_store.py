"""The queues of deliveries: in which of them something is due, and what waits in them."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.stream.delivery.due_store import is_due, is_in
from tokensvc.stream.delivery.lanes import QUEUES
from tokensvc.stream.delivery.rules import REACH, DeliveryState, Queue
from tokensvc.stream.delivery.tables import IS_LATE, IS_OPEN, deliveries

_columns = deliveries.c
_LIMIT = sa.bindparam("limit", type_=sa.Integer)
_OPEN = sa.select(_columns.version).where(IS_OPEN).limit(1)


def _select_due(now: sa.ColumnElement[int]) -> sa.Select[Any]:
    found: list[sa.ColumnElement[Any]] = [
        sa.exists().where(*is_due(queue, now)) for queue in QUEUES
    ]
    return sa.select(*found)


_DUE = {
    "sqlite": _select_due(sa.bindparam("now", type_=sa.BigInteger)),
    "postgresql": _select_due(
        sa.cast(sa.func.floor(sa.extract("epoch", sa.func.now())), sa.BigInteger)
    ),
}


def read_due(database: Database, clock: Clock) -> list[Queue]:
    """
    Return the queues in which something is due, the most urgent first, without a transaction.

    Args:
        clock: This host's clock, used on SQLite. On PostgreSQL the statement reads the server's.
    """
    if not database.fetch(_OPEN):
        return []  # each second or more often, so it must cost little
    (found,) = database.fetch(_DUE[database.dialect], {"now": int(clock())})
    return [queue for queue, has_due in zip(QUEUES, found, strict=True) if has_due]


class Backlog(NamedTuple):
    """
    What waits in all queues.

    Attributes:
        failed: Number of failed deliveries, counted up to the limit in each queue.
        last_error: Error of one of them.
        due_since: Due time of the longest waiting cut-off or profile, in epoch seconds.
    """

    failed: int
    last_error: str | None
    due_since: int | None


def _select_backlog() -> sa.CompoundSelect[Any]:
    selects = []
    for queue in QUEUES:
        if queue.state is DeliveryState.FAILED:
            rows = sa.select(_columns.last_error).where(*is_in(queue)).limit(_LIMIT).subquery()
            error = sa.func.min(rows.c.last_error)
            selects.append(sa.select(sa.func.count(), error, sa.null()).select_from(rows))
        elif queue.state is DeliveryState.PENDING and queue.kind not in REACH:
            due_since = sa.func.min(_columns.due_at)
            none = sa.literal_column("0", sa.Integer)
            selects.append(sa.select(none, sa.null(), due_since).where(*is_in(queue)))
    return sa.union_all(*selects)


_BACKLOG = _select_backlog()


def read_backlog(database: Database, limit: int) -> Backlog:
    """
    Return the backlog in one statement, without a transaction: each worker reads it every second.

    Args:
        limit: Number of failed deliveries to count in a queue.
    """
    failed, errors, times = zip(*database.fetch(_BACKLOG, {"limit": limit}), strict=True)
    due_since = min((time for time in times if time is not None), default=None)
    return Backlog(sum(failed), next(filter(None, errors), None), due_since)


class QueueSize(NamedTuple):
    """
    What waits in a queue.

    Attributes:
        number: Number of deliveries, counted up to the limit.
        since: Earliest time since which Stream lacks a state, in epoch seconds.
    """

    number: int
    since: int | None


def _select_sizes() -> sa.CompoundSelect[Any]:
    selects = []
    for position, queue in enumerate(QUEUES):
        rows = sa.select(_columns.kind).where(*is_in(queue)).limit(_LIMIT).subquery()
        is_unknown = _columns.applied_version < _columns.version
        late = sa.select(_columns.late_since).where(*is_in(queue), IS_LATE, is_unknown)
        since = late.order_by(_columns.late_since).limit(1).scalar_subquery()
        place = sa.literal_column(str(position), sa.Integer)
        selects.append(sa.select(place, sa.func.count(), since).select_from(rows))
    return sa.union_all(*selects)


_SIZES = _select_sizes()


def read_sizes(database: Database, limit: int) -> dict[Queue, QueueSize]:
    """
    Return the size of each queue, without a transaction.

    Args:
        limit: Number of deliveries to count in a queue.
    """
    rows = database.fetch(_SIZES, {"limit": limit})
    return {QUEUES[place]: QueueSize(*size) for place, *size in rows}
