"""The rows of the audit trail."""

import itertools
import json
import secrets
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from tokensvc.audit.rules import DONE, Action, AuditEvent, Details, event_id
from tokensvc.audit.tables import audit_events, audit_purge
from tokensvc.core import current_request
from tokensvc.core.actions import ActionContext
from tokensvc.database.deletion import delete_batch
from tokensvc.database.engine import after_commit
from tokensvc.database.statements import run
from tokensvc.telemetry import metrics
from tokensvc.telemetry.redaction import mask

_columns = audit_events.c
_serials = itertools.count()
_INSERT = audit_events.insert()


def record(
    tx: sa.Connection,
    context: ActionContext,
    action: Action,
    subject: str,
    *,
    now: float,
    outcome: str = DONE,
    details: Details | None = None,
) -> None:
    """
    Write an event in the transaction of the action, so that neither is kept without the other.

    Args:
        subject: ID of what was changed; see `AuditEvent.subject`.
        now: Epoch seconds with fractions, which order the IDs.
        outcome: Result of the action.
        details: Facts of the action. The reason has only the actor's words.
    """
    record_each(tx, context, action, [subject], now=now, outcome=outcome, details=details)


def record_each(
    tx: sa.Connection,
    context: ActionContext,
    action: Action,
    subjects: Iterable[str],
    *,
    now: float,
    outcome: str = DONE,
    details: Details | None = None,
) -> None:
    """Write one event for each subject of an action, as `record` does for one."""
    request = current_request.get(None)
    rows: list[dict[str, object]] = [
        {
            "id": event_id(now, next(_serials), secrets.token_hex(4)),
            "time": int(now),
            "actor": context.actor,
            "action": action,
            "subject": subject,
            "outcome": outcome,
            "request_id": request and request.request_id,
            "reason": masked_reason(context.reason),
            "details": _encoded(details),
        }
        for subject in subjects
    ]
    for row in rows:
        run(tx, _INSERT, row)
    if rows:
        # A dry run, or an action that fails later, is rolled back and not counted.
        after_commit(tx, partial(_count, rows))


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


def last(connection: sa.Connection) -> AuditEvent | None:
    """Return the last event."""
    return next(iter(page(connection, after=None, limit=1, filters={})), None)


def latest_time(connection: sa.Connection) -> int:
    """Return the latest time of an event or of a purge, in epoch seconds; 0 without any."""
    event = last(connection)
    return max(_purged_before(connection) or 0, event.time if event is not None else 0)


def insert_missing(tx: sa.Connection, events: Sequence[AuditEvent], now: float) -> list[AuditEvent]:
    """
    Insert the events of an export that the trail does not have, and return them.

    Those from before the last purge are left out: the trail had them.
    """
    purged_before = _purged_before(tx) or 0
    if purged_before > now:
        purged_before = 0  # set by a fast clock: ignore it
    known = set(tx.scalars(sa.select(_columns.id).where(_columns.id.in_([e.id for e in events]))))
    missing = [e for e in events if e.id not in known and e.time >= purged_before]
    rows = [{**_members(event), "details": _encoded(event.details)} for event in missing]
    if rows:
        tx.execute(audit_events.insert(), rows)
    return missing


def purge(tx: sa.Connection, now: float, limit: int, *, retention: int) -> int:
    """
    Delete at most `limit` events that are older than the retention, and record how many.

    If another transaction purges, nothing is deleted: it does not wait for locks.
    """
    before = int(now) - retention
    purged_before = _purged_before(tx, locked=True)
    if purged_before is None:
        return 0
    oldest = sa.select(_columns.time).where(_columns.time < before).order_by(_columns.time)
    times = tx.scalars(oldest.limit(limit)).all()
    # A replay leaves out the events from before `purged_before`. So `purged_before` never passes
    # the last deleted event, even if the clock is fast. It is lowered only if a fast clock set it.
    covered = max(min(purged_before, int(now)), times[-1] + 1 if times else 0)
    if covered != purged_before:
        tx.execute(audit_purge.update().values(purged_before=covered))
    if not times:
        return 0
    is_old = _columns.time <= times[-1]
    purged = delete_batch(tx, audit_events, is_old, order=_columns.time, limit=limit)
    if purged:
        context = ActionContext("service:retention")
        details: Details = {"events": purged, "before": before}
        record(tx, context, Action.AUDIT_PURGED, "audit", now=now, details=details)
    return purged


def _purged_before(connection: sa.Connection, *, locked: bool = False) -> int | None:
    """Return the time before which events are purged; `None` if another transaction locks it."""
    statement = sa.select(audit_purge.c.purged_before)
    return connection.scalar(statement.with_for_update(skip_locked=True) if locked else statement)


def _count(events: Iterable[Mapping[str, object]]) -> None:
    for event in events:
        metrics.count_action(str(event["action"]), str(event["outcome"]))


def _filtered(filters: Mapping[str, str]) -> sa.Select[Any]:
    return sa.select(audit_events).where(
        *(_columns[name] == value for name, value in filters.items())
    )


def _event(row: Any) -> AuditEvent:
    values = dict(row._mapping)  # noqa: SLF001 - the public way to a row's names
    details = values.pop("details")
    return AuditEvent(**values, details=None if details is None else json.loads(details))


def _encoded(details: Details | None) -> str | None:
    return None if details is None else json.dumps(details)


def _members(event: AuditEvent) -> dict[str, Any]:
    return {name: getattr(event, name) for name in AuditEvent.__struct_fields__}
