"""The rows of hints and removals of devices: they wait for the cut-off, and end with it."""

from collections.abc import Collection

import sqlalchemy as sa

from tokensvc.database.engine import Transaction
from tokensvc.stream.delivery.rules import LATE_STATES, REACH, Delivery, DeliveryState
from tokensvc.stream.delivery.tables import IS_OPEN, deliveries

_columns = deliveries.c


def follow_cut_offs(tx: Transaction, changed: Collection[Delivery], now: float) -> None:
    """
    Make hints and removals of devices wait while Stream does not have their user, as cut-offs do.

    Args:
        changed: Cut-offs whose state has changed.
    """
    for state in {row.state for row in changed}:
        subjects = [row.subject for row in changed if row.state is state]
        rows = sa.and_(_columns.kind.in_(REACH), _columns.subject.in_(subjects))
        if state is DeliveryState.ABSENT:
            late = sa.and_(rows, _columns.state.in_(LATE_STATES))
            _set_state(tx, late, DeliveryState.ABSENT, now)
        else:
            is_over = state is DeliveryState.OBSOLETE
            after = DeliveryState.OBSOLETE if is_over else DeliveryState.PENDING
            _set_state(tx, sa.and_(rows, _columns.state == DeliveryState.ABSENT), after, now)


def cancel(tx: Transaction, user_id: str, now: float, *, needed_since: int | None) -> None:
    """
    End what follows the cut-off of a user and waits: an undo has made it wrong.

    Args:
        needed_since: Time of the latest action that still needs it, in epoch seconds. What waits
            since then or longer goes on.
    """
    is_waiting = sa.and_(_columns.kind.in_(REACH), _columns.subject == user_id, IS_OPEN)
    if needed_since is not None:
        is_waiting = sa.and_(is_waiting, _columns.late_since > needed_since)
    _set_state(tx, is_waiting, DeliveryState.OBSOLETE, now)


def _set_state(
    tx: Transaction, rows: sa.ColumnElement[bool], state: DeliveryState, now: float
) -> None:
    """Write a state. The version changes, so that no result of a current call changes it again."""
    values = {"state": state, "version": _columns.version + 1, "attempts": 0, "last_error": None}
    values |= {"due_at": int(now), "updated_at": int(now)}
    if state is DeliveryState.OBSOLETE:
        values["late_since"] = None  # otherwise it stays: a later undo compares it
    tx.execute(deliveries.update().where(rows).values(values))
