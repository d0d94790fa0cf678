"""The rows of the audit trail."""

import itertools
import secrets
from typing import Any

import sqlalchemy as sa

from tokensvc.audit.rules import Action, Event
from tokensvc.database.tables import audit_events, audit_purge
from tokensvc.telemetry.logging import request_id

_columns = audit_events.c
_serials = itertools.count()


def record(
    tx: sa.Connection,
    *,
    now: float,
    actor: str,
    action: Action,
    subject: str,
    reason: str | None = None,
    outcome: str = "ok",
) -> None:
    """
    Write an event in the transaction of what it reports, so that neither is without the other.

    Args:
        now: Epoch seconds, with fractions: they order the ids.
    """
    # The serial orders what this process does within a millisecond.
    serial = next(_serials) & 0xFFFF
    tx.execute(
        audit_events.insert().values(
            id=f"evt_{int(now * 1000):012x}{serial:04x}{secrets.token_hex(4)}",
            time=int(now),
            actor=actor,
            action=action,
            subject=subject,
            outcome=outcome,
            request_id=request_id.get(),
            reason=reason,
        )
    )


def page(
    connection: sa.Connection, *, after: str | None, limit: int, filters: dict[str, str]
) -> list[Event]:
    """
    Give events, newest first.

    Args:
        after: The id of the last event that was seen.
        filters: Columns and the values that they must have.
    """
    statement = sa.select(audit_events)
    if after is not None:
        statement = statement.where(_columns.id < after)
    for name, value in filters.items():
        statement = statement.where(_columns[name] == value)
    rows = connection.execute(statement.order_by(_columns.id.desc()).limit(limit))
    return [_event(row) for row in rows]


def since(connection: sa.Connection, after: str | None, limit: int) -> list[Event]:
    """Give the events that came after one, oldest first."""
    statement = sa.select(audit_events)
    if after is not None:
        statement = statement.where(_columns.id > after)
    return [_event(row) for row in connection.execute(statement.order_by(_columns.id).limit(limit))]


def purge(tx: sa.Connection, before: int, limit: int) -> int:
    """Delete events from before a time, at most `limit`, and give their number."""
    tx.execute(audit_purge.update().values(purged_before=before))
    oldest = (
        sa.select(_columns.id).where(_columns.time < before).order_by(_columns.time).limit(limit)
    )
    return tx.execute(audit_events.delete().where(_columns.id.in_(oldest))).rowcount


def _event(row: Any) -> Event:
    return Event(**row._mapping)  # noqa: SLF001 - the public way to a row's names
