"""
The states of a delivery: pure functions of its row, the result of a call, time and randomness.

The invariant: `applied` means that Stream holds the current version and that no earlier call can
change that. A call with an unknown result may take effect up to `RESEND_SECONDS` later, so
the state is sent again immediately, and once more after that time.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal, NamedTuple, TypeAlias

from tokensvc.stream.delivery.pace import back_off
from tokensvc.stream.responses import CallStatus, StreamResponse

DeliveryKind: TypeAlias = Literal["app", "user", "profile", "hint", "devices", "erasure"]
Wanted: TypeAlias = Any
"""The state that Stream must hold: what the `claim` of a lane returns, and its `send` sends."""

REACH: tuple[DeliveryKind, ...] = ("hint", "devices")
"""
Kinds that reach what a cut-off does not end: open connections and push notifications.

They are sent after the cut-off of their user, and before an erasure. A call that takes effect late
does no harm, so they are not sent again.
"""

APP_SUBJECT = ""
"""Subject of the only delivery of kind `app`. A user ID is never empty."""

LEASE_SECONDS = 30
"""
Seconds for which a row belongs to one sender.

A lease that expires, for example while a host sleeps, counts as a lost call: it costs one more call
and a minute.
"""

CALL_WITHIN_SECONDS = 20
"""Seconds after the start of a lease in which a call may begin: the rest is enough for one call."""

RESEND_SECONDS = 60
"""Seconds after which a call whose response was lost no longer takes effect."""

OBSOLETE_AFTER = 7 * 24 * 3600
"""Seconds after a cut-off when every earlier token of this service has expired."""

HINT_TRIES = 3
"""Calls for one hint. After that it would come too late to be of use."""

FAILED_AFTER = 10
"""Unsuccessful attempts after which a delivery is `failed`: about four minutes."""

_FIRST_QUERY_INTERVAL, _FIRST_QUERIES_SECONDS, _LATER_QUERY_INTERVAL = 10, 600, 60
"""Seconds between queries for a user that Stream does not have: 10 in the first 600, then 60."""

LONGEST_WAIT_IF_REFUSED = 3600.0
_LONGEST_WAIT = 60.0


class DeliveryState(StrEnum):
    """The progress of a delivery to Stream."""

    PENDING = "pending"
    APPLIED = "applied"
    ABSENT = "absent"
    FAILED = "failed"
    OBSOLETE = "obsolete"


LATE_STATES = (DeliveryState.PENDING, DeliveryState.FAILED)
"""States of a state that Stream lacks. Not `absent`: there is nothing to deliver yet."""

OPEN_STATES = (DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ABSENT)
"""States in which there is something left to send."""


class Queue(NamedTuple):
    """Deliveries of one kind and state; those that are only a renewal have a queue of their own."""

    kind: DeliveryKind
    state: DeliveryState
    is_renewal: bool = False


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One state that Stream must hold, and its progress. Times are epoch seconds.

    Attributes:
        subject: User ID, or `APP_SUBJECT`.
        version: Version of the state that Stream must hold; every change raises it.
        applied_version: Latest version that Stream was known to hold.
        due_at: Time of the next attempt.
        lease_until: End of the current lease. It also identifies the lease, because no other
            sender can have the row before that time.
        attempts: Number of unsuccessful attempts since the last change or success.
        resend_at: Time at which the state is sent again, even if a call before it succeeds.
        absent_since: Time of the first response that Stream does not have the user.
        updated_at: Time of the last change of `state`.
        late_since: Time since which Stream lacks the state; `None` if it has it or lacks the user,
            but for a kind of `REACH` it stays if Stream lacks the user.
        is_renewal: Whether it is pending and all that Stream lacks is a renewal.
        task: ID of Stream's task that works on the state, if Stream was asked for one; empty if it
            has failed.
    """

    kind: DeliveryKind
    subject: str
    version: int
    applied_version: int
    state: DeliveryState
    due_at: int
    lease_until: int | None
    attempts: int
    resend_at: int | None
    absent_since: int | None
    last_error: str | None
    updated_at: int
    late_since: int | None
    is_renewal: bool = False
    task: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether nothing is left to send."""
        return self.state not in OPEN_STATES


def lease(row: Delivery, now: float) -> Delivery:
    """
    Return a row with a new lease.

    If its previous lease has expired, that sender may have called Stream: the result is unknown.
    """
    lost = row.lease_until is not None
    return replace(
        row,
        lease_until=int(now) + LEASE_SECONDS,
        resend_at=resend_time(now) if lost else row.resend_at,
    )


def apply_outcome(
    row: Delivery,
    leased: Delivery,
    response: StreamResponse,
    *,
    now: float,
    random_fraction: float,
    cut_off: int | None,
) -> Delivery:
    """
    Return the row after a call.

    Args:
        row: Current row, locked.
        leased: Row as the sender leased it, which it has sent.
        now: Epoch seconds, after the call.
        random_fraction: Random number from 0 to 1.
        cut_off: The user's cut-off in epoch seconds, for a user that Stream does not have.
    """
    status = response.status
    if row.lease_until != leased.lease_until:
        # Another sender has the row now: this call may take effect after that sender's call.
        is_late = status.may_have_effect and row.kind not in REACH
        return mark_changed(row, now, resend=True) if is_late else row
    row = replace(row, lease_until=None)
    if status is CallStatus.UNKNOWN:
        row = replace(row, resend_at=resend_time(now))
    if status is CallStatus.DONE:
        row = replace(row, applied_version=leased.version)
    if row.version != leased.version or status is CallStatus.NOT_ATTEMPTED:
        return row  # changed since then, or not sent: it stays due
    after = _next(row, leased, response, now=now, random_fraction=random_fraction, cut_off=cut_off)
    is_renewal = after.is_renewal and after.state is DeliveryState.PENDING
    after = replace(after, late_since=_late_since(after, now), is_renewal=is_renewal)
    return after if after.state is row.state else replace(after, updated_at=int(now))


def mark_changed(row: Delivery, now: float, *, resend: bool) -> Delivery:
    """
    Return a row whose state Stream may no longer hold.

    A lease stays: its sender sends an older version, so the row is sent again after that.

    Args:
        resend: Whether the call that caused the change may still take effect later.
    """
    return replace(
        row,
        version=row.version + 1,
        state=DeliveryState.PENDING,
        due_at=int(now),
        attempts=0,
        resend_at=resend_time(now) if resend else row.resend_at,
        absent_since=None,
        last_error=None,
        updated_at=int(now),
        late_since=_late_since(row, now) or int(now),
        is_renewal=False,
    )


def restart(row: Delivery, now: float) -> Delivery:
    """
    Return a row that is due now and that no sender has, because its times are unreliable.

    If a sender does have it, the result of its call changes the version again.
    """
    changed = mark_changed(row, now, resend=True)
    return replace(changed, lease_until=None, late_since=int(now))


def resend_time(now: float) -> int:
    """Return the time after which no earlier call can take effect, in epoch seconds."""
    return math.ceil(now) + RESEND_SECONDS


def _next(
    row: Delivery,
    leased: Delivery,
    response: StreamResponse,
    *,
    now: float,
    random_fraction: float,
    cut_off: int | None,
) -> Delivery:
    """Return the row after a call that sent the current version."""
    match response.status:
        case CallStatus.DONE:
            return _done(row, leased)
        case CallStatus.RUNNING:
            # After a failed task it stays `failed` until a task succeeds.
            was_absent = row.state is DeliveryState.ABSENT
            state = DeliveryState.PENDING if was_absent else row.state
            due_at = _after(now, response.wait)
            return replace(row, state=state, due_at=due_at, absent_since=None, task=response.task)
        case CallStatus.ABSENT if row.kind in {"user", "erasure"}:
            return _absent(row, now, cut_off)
        case CallStatus.ABSENT if row.kind in REACH:
            return replace(row, state=DeliveryState.OBSOLETE, resend_at=None, last_error=None)
        case CallStatus.UNKNOWN | CallStatus.NOT_DELIVERED:
            state = DeliveryState.FAILED if row.attempts + 1 >= FAILED_AFTER else row.state
            longest = _LONGEST_WAIT
        case CallStatus.KEY_REFUSED:
            state, longest = DeliveryState.FAILED, _LONGEST_WAIT
        case _:
            state, longest = DeliveryState.FAILED, LONGEST_WAIT_IF_REFUSED
    if row.kind == "hint":
        is_last = row.attempts + 1 >= HINT_TRIES
        state = DeliveryState.OBSOLETE if is_last else DeliveryState.PENDING
    # After an unknown result the first wait is 0: repeat the call immediately.
    failures = row.attempts + (response.status is not CallStatus.UNKNOWN)
    wait = max(back_off(failures, random_fraction, longest), response.wait)
    return replace(
        row,
        state=state,
        due_at=_after(now, wait),
        attempts=row.attempts + 1,
        last_error=response.error,
        task=row.task and ("" if response.status is CallStatus.REFUSED else row.task),
    )


def _after(now: float, wait: float) -> int:
    """Return the first second that is due after a wait; the current one without a wait."""
    return math.ceil(now + wait) if wait else int(now)


def _late_since(row: Delivery, now: float) -> int | None:
    """Return since when Stream lacks the state; failures and further changes keep the time."""
    if row.state not in LATE_STATES or row.applied_version == row.version:
        return None
    return int(now) if row.late_since is None else row.late_since


def _done(row: Delivery, leased: Delivery) -> Delivery:
    row = replace(row, attempts=0, absent_since=None, last_error=None)
    leased_at = (leased.lease_until or 0) - LEASE_SECONDS  # the call began at this time or later
    if row.kind not in REACH and row.resend_at is not None and leased_at < row.resend_at:
        return replace(row, state=DeliveryState.PENDING, due_at=row.resend_at)
    return replace(row, state=DeliveryState.APPLIED, resend_at=None, task=None)


def _absent(row: Delivery, now: float, cut_off: int | None) -> Delivery:
    """
    Return the row of a user that Stream does not have; their first connection creates them.

    Wait until every token from before the cut-off has expired; without a cut-off, do not wait.
    """
    row = replace(row, attempts=0, last_error=None)
    obsolete_at = max((cut_off + OBSOLETE_AFTER) if cut_off is not None else 0, row.resend_at or 0)
    if now >= obsolete_at:
        return replace(row, state=DeliveryState.OBSOLETE, absent_since=None, resend_at=None)
    since = int(now) if row.absent_since is None else row.absent_since
    is_first = now - since < _FIRST_QUERIES_SECONDS
    interval = _FIRST_QUERY_INTERVAL if is_first else _LATER_QUERY_INTERVAL
    return replace(row, state=DeliveryState.ABSENT, absent_since=since, due_at=int(now) + interval)
