"""The rows of deliveries, and the states that Stream must hold."""

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import Transaction, after_commit
from tokensvc.database.upsert import insert
from tokensvc.stream.delivery import rules
from tokensvc.stream.delivery.rules import Delivery, DeliveryKind, DeliveryState
from tokensvc.stream.delivery.state import (
    NOTHING_TO_DELIVER,
    ErasureStatus,
    StreamStatus,
    erasure_status,
    with_progress,
)
from tokensvc.stream.delivery.tables import IS_FINISHED, IS_OPEN, deliveries
from tokensvc.stream.delivery.wake_up import notify_sender

_columns = deliveries.c
_is_lacking = _columns.state.in_(rules.LATE_STATES)
_is_waiting = sa.and_(
    _columns.state.in_(rules.OPEN_STATES), _columns.applied_version < _columns.version
)

_ROWS = 1000
"""Rows of one statement. PostgreSQL takes at most 65,535 parameters, SQLite sometimes half."""


def mark_pending(
    tx: Transaction, kind: DeliveryKind, subject: str, now: float, *, is_renewal: bool = False
) -> None:
    """
    Mark a state as changed, in the transaction of the change.

    A lease stays: what its sender is sending is no longer the current version, so that the state
    is sent again.

    Args:
        is_renewal: Whether the change is only a renewal. A cut-off that Stream still lacks stays as
            urgent as before.
    """
    mark_each_pending(tx, kind, [subject], now, is_renewal=is_renewal)


def mark_each_pending(
    tx: Transaction,
    kind: DeliveryKind,
    subjects: Collection[str],
    now: float,
    *,
    is_renewal: bool = False,
) -> None:
    """Mark states as changed, as `mark_pending` does with one."""
    if not subjects:
        return
    after_commit(tx, notify_sender)
    rows = [
        {
            "kind": kind,
            "subject": subject,
            "version": 1,
            "state": DeliveryState.PENDING,
            "due_at": int(now),
            "updated_at": int(now),
            "late_since": int(now),
            "is_renewal": is_renewal,
        }
        for subject in subjects
    ]
    again = {
        "version": _columns.version + 1,
        "state": DeliveryState.PENDING,
        "due_at": int(now),
        "attempts": 0,
        "absent_since": None,
        "last_error": None,
        "task": None,
        "updated_at": int(now),
        "late_since": sa.case(
            (_is_waiting, sa.func.coalesce(_columns.late_since, int(now))), else_=int(now)
        ),
        "is_renewal": sa.or_(_columns.is_renewal, ~_is_lacking) if is_renewal else False,
    }
    for begin in range(0, len(rows), _ROWS):
        first = insert(tx, deliveries).values(rows[begin : begin + _ROWS])
        tx.execute(first.on_conflict_do_update(index_elements=["kind", "subject"], set_=again))


def statuses(
    connection: sa.Connection, kind: DeliveryKind, subjects: Collection[str]
) -> dict[str, StreamStatus]:
    """Return the progress of states by subject; with a user's cut-off, of what it reaches too."""
    found = dict.fromkeys(subjects, NOTHING_TO_DELIVER)
    kinds = (kind, *rules.REACH) if kind == "user" else (kind,)
    names = (_columns.kind, _columns.subject, _columns.state)
    rows = connection.execute(
        sa.select(*names, _columns.updated_at, _columns.last_error).where(
            _columns.kind.in_(kinds), _columns.subject.in_(subjects)
        )
    )
    for row in rows:
        found[row.subject] = with_progress(
            found[row.subject], row.kind, row.state, row.updated_at, row.last_error
        )
    return found


def status(connection: sa.Connection, kind: DeliveryKind, subject: str) -> StreamStatus:
    """Return the progress of a state."""
    return statuses(connection, kind, [subject])[subject]


def lock(tx: Transaction, kind: DeliveryKind, subjects: Collection[str]) -> list[Delivery]:
    """Lock and return rows, always in the same order to prevent deadlocks."""
    statement = (
        sa.select(deliveries)
        .where(_columns.kind == kind, _columns.subject.in_(subjects))
        .order_by(_columns.subject)
        .with_for_update()
    )
    return [delivery_of_row(row) for row in tx.execute(statement)]


def save(tx: Transaction, rows: Collection[Delivery]) -> None:
    """Write locked rows."""
    if not rows:
        return
    this = (
        _columns.kind == sa.bindparam("this_kind"),
        _columns.subject == sa.bindparam("this_subject"),
    )
    names = [name for name in Delivery.__slots__ if name not in {"kind", "subject"}]
    statement = (
        deliveries.update().where(*this).values({name: sa.bindparam(name) for name in names})
    )
    values = [asdict(row) for row in rows]
    for value in values:
        value["this_kind"], value["this_subject"] = value.pop("kind"), value.pop("subject")
    tx.execute(statement, values)


def remove(tx: Transaction, kind: DeliveryKind, subject: str, now: float) -> int:
    """
    Delete a delivery, and return when no call for it can take effect any more, in epoch seconds.

    The calls of a sender that has leased it end with the lease.
    """
    last = int(now)
    for row in lock(tx, kind, [subject]):
        leased_until = (row.lease_until or 0) + rules.RESEND_SECONDS
        last = max(last, row.resend_at or 0, leased_until if row.lease_until else 0)
    is_this = (_columns.kind == kind, _columns.subject == subject)
    tx.execute(deliveries.delete().where(*is_this))
    return last


def postpone(tx: Transaction, kind: DeliveryKind, subject: str, due_at: int) -> None:
    """Set the time of the next attempt."""
    is_this = (_columns.kind == kind, _columns.subject == subject)
    tx.execute(deliveries.update().where(*is_this).values(due_at=due_at))


def erasures(
    connection: sa.Connection, requested_at: Mapping[str, int]
) -> dict[str, ErasureStatus]:
    """Return the progress of erasures by user ID, from the time of each request."""
    if not requested_at:
        return {}
    is_one = (_columns.kind == "erasure", _columns.subject.in_(requested_at))
    found = connection.execute(sa.select(deliveries).where(*is_one))
    rows = {row.subject: delivery_of_row(row) for row in found}
    return {
        user_id: erasure_status(time, rows.get(user_id)) for user_id, time in requested_at.items()
    }


def restart_from_future(tx: Transaction, now: float) -> None:
    """Make rows due whose times are later than this service sets them: a clock was ahead."""
    is_too_late = sa.or_(
        _columns.due_at > int(now + rules.LONGEST_WAIT_IF_REFUSED) + 1,
        _columns.lease_until > int(now) + rules.LEASE_SECONDS,
        _columns.resend_at > rules.resend_time(now),
    )
    statement = sa.select(deliveries).where(IS_OPEN, is_too_late)
    ordered = statement.order_by(_columns.kind, _columns.subject).with_for_update()
    save(tx, [rules.restart(delivery_of_row(row), now) for row in tx.execute(ordered)])


def mark_resend(tx: Transaction, user_ids: Collection[str], now: float, *, resend: bool) -> None:
    """Mark the cut-offs of users as changed, because Stream may have lost them."""
    if not user_ids:
        return
    after_commit(tx, notify_sender)
    rows = lock(tx, "user", user_ids)
    save(tx, [rules.mark_changed(row, now, resend=resend) for row in rows])


def listed(
    connection: sa.Connection,
    *,
    kind: DeliveryKind | None,
    states: Collection[DeliveryState],
    limit: int,
) -> list[Delivery]:
    """Return rows for an operator, the last changed first."""
    statement = sa.select(deliveries).where(_columns.state.in_(states))
    if kind is not None:
        statement = statement.where(_columns.kind == kind)
    newest = (_columns.updated_at.desc(), _columns.kind, _columns.subject)
    return [
        delivery_of_row(row) for row in connection.execute(statement.order_by(*newest).limit(limit))
    ]


def make_due(tx: Transaction, now: float) -> int:
    """Make all rows that wait for another attempt due now, and return their number."""
    is_waiting = _columns.state.in_([DeliveryState.FAILED, DeliveryState.PENDING])
    is_late = _columns.attempts > 0
    statement = deliveries.update().where(is_waiting, is_late, _columns.due_at > int(now))
    return tx.execute(statement.values(due_at=int(now))).rowcount


def purge_finished(tx: Transaction, before: float, limit: int) -> int:
    """Delete at most `limit` deliveries finished before a time, and return their number."""
    is_old = sa.and_(IS_FINISHED, _columns.updated_at < int(before))
    return delete_batch(tx, deliveries, is_old, order=_columns.updated_at, limit=limit)


def delivery_of_row(row: Any) -> Delivery:
    """Return the delivery in a row of the table."""
    values = dict(row._mapping)  # noqa: SLF001 - public despite its name
    return Delivery(**{**values, "state": DeliveryState(values["state"])})
