"""The rows of the audit trail."""

import itertools
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from tokensvc.audit.rules import DONE, Action, AuditEvent, event_id
from tokensvc.core.actions import ActionContext
from tokensvc.database.tables import audit_events, audit_purge
from tokensvc.telemetry.logging import request_id
from tokensvc.telemetry.redaction import mask

_columns = audit_events.c
_serials = itertools.count()


def record(
    tx: sa.Connection,
    context: ActionContext,
    action: Action,
    subject: str,
    *,
    now: float,
    outcome: str = DONE,
) -> None:
    """
    Write an event in the transaction of the action, so that neither is kept without the other.

    Args:
        subject: ID of what was changed; see `AuditEvent.subject`.
        now: Epoch seconds with fractions, which order the IDs.
        outcome: Result of the action.
    """
    record_each(tx, context, action, [subject], now=now, outcome=outcome)


def record_each(
    tx: sa.Connection,
    context: ActionContext,
    action: Action,
    subjects: Iterable[str],
    *,
    now: float,
    outcome: str = DONE,
) -> None:
    """Write one event for each subject of an action, as `record` does for one."""
    rows = [
        {
            "id": event_id(now, next(_serials), secrets.token_hex(4)),
            "time": int(now),
            "actor": context.actor,
            "action": action,
            "subject": subject,
            "outcome": outcome,
            "request_id": request_id.get(),
            "reason": masked_reason(context.reason),
        }
        for subject in subjects
    ]
    if rows:
        tx.execute(audit_events.insert(), rows)


def masked_reason(reason: str | None) -> str | None:
    """Return a reason without the tokens and secrets that its author may have pasted into it."""
    return mask(reason.encode("utf-8")).decode("utf-8") if reason is not None else None


def page(
    connection: sa.Connection, *, after: str | None, limit: int, filters: Mapping[str, str]
) -> list[AuditEvent]:
    """
    Return events, newest first.

    Args:
        after: ID of the last event of the previous page.
        filters: Columns and the values that they must have.
    """
    statement = _filtered(filters)
    if after is not None:
        statement = statement.where(_columns.id < after)
    rows = connection.execute(statement.order_by(_columns.id.desc()).limit(limit))
    return [_event(row) for row in rows]


def since(connection: sa.Connection, first: str, filters: Mapping[str, str]) -> list[AuditEvent]:
    """Return the events from an ID on, oldest first."""
    statement = _filtered(filters).where(_columns.id >= first)
    return [_event(row) for row in connection.execute(statement.order_by(_columns.id))]


def purge(tx: sa.Connection, before: int, limit: int) -> int:
    """Delete at most `limit` events from before a time, and return their number."""
    tx.execute(audit_purge.update().values(purged_before=before))
    oldest = (
        sa.select(_columns.id).where(_columns.time < before).order_by(_columns.time).limit(limit)
    )
    return tx.execute(audit_events.delete().where(_columns.id.in_(oldest))).rowcount


def _filtered(filters: Mapping[str, str]) -> sa.Select[Any]:
    return sa.select(audit_events).where(
        *(_columns[name] == value for name, value in filters.items())
    )


def _event(row: Any) -> AuditEvent:
    return AuditEvent(**row._mapping)  # noqa: SLF001 - the public way to a row's names
