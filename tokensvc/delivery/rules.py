"""
What happens to a delivery: pure functions of its state, what came of a call, time and chance.

The one thing to hold on to: `applied` is said only when Stream holds the current version and
nothing that was sent before can still change that. A call that gave no verdict may land up to
`RESEND_SECONDS` later, so the state is sent again immediately, and once more after that.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal, TypeAlias

from tokensvc.delivery.outcome import Outcome, Result
from tokensvc.keys.rules import KeyState, StreamKey, StreamKeyRing

DeliveryKind: TypeAlias = Literal["app", "user", "profile"]
APP = ""
"""The subject of the app's one delivery."""

LEASE_SECONDS = 30
"""
Seconds that a row is its sender's.

One that runs out all the same, while a host sleeps or looks up a name, is a call that was lost: it
costs another call and a minute, no more.
"""

RENEW_AFTER = 10
"""Seconds after which a lease is renewed before a call: what is left is more than a call takes."""

RESEND_SECONDS = 60
"""Seconds within which a call whose answer was lost has landed, or never will."""

OBSOLETE_AFTER = 7 * 24 * 3600
"""Seconds after a cut-off when no token from before it is left: the longest life of a token."""

FAILED_AFTER = 10
"""Attempts without a verdict before somebody should look: about four minutes."""

_ASK_OFTEN, _ASK_OFTEN_FOR, _ASK_SELDOM = 10, 600, 60
"""Seconds between two looks for a user that Stream does not have, at first and later."""

_LONGEST_WAIT = 60.0
_LONGEST_WAIT_OF_REFUSED = 3600.0
_LONGEST_PAUSE = 30.0


class DeliveryState(StrEnum):
    """How far a state has come on its way to Stream."""

    PENDING = "pending"
    APPLIED = "applied"
    ABSENT = "absent"
    FAILED = "failed"
    OBSOLETE = "moot"


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    What is to be brought over, and how far it has come. Times are epoch seconds.

    Attributes:
        subject: A user id, or `APP`.
        version: Of the state that Stream is to hold; every change raises it.
        applied_version: The last one that Stream was known to hold.
        due_at: When to try next.
        lease_until: Until when a sender has it. It names the lease too, since the row is nobody
            else's before.
        attempts: Failed ones since the last change or success.
        resend_at: A call before this time, whatever it answers, is not the last one.
        absent_since: Since when Stream is known not to have the user.
        updated_at: When `state` last changed.
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


@dataclass(frozen=True, slots=True)
class Sent:
    """
    What a sender sent of a row.

    Attributes:
        lease_until: Names the lease that it held.
        at: When it read what it sent, epoch seconds.
    """

    version: int
    lease_until: int
    at: float


@dataclass(frozen=True, slots=True)
class Pace:
    """
    When this process may next call for deliveries of one kind.

    Attributes:
        failures: In a row.
        not_before: Seconds of a clock that never goes back.
    """

    failures: int = 0
    not_before: float = 0.0


def keys_to_try(ring: StreamKeyRing) -> list[StreamKey]:
    """Give every key that is not retired: the one that Stream takes may not be the active one."""
    return sorted(ring.keys, key=lambda key: key.state is not KeyState.ACTIVE)


def lease(row: Delivery, now: float) -> Delivery:
    """
    Give a row to a sender.

    A lease that has run out is a call of which nobody knows what came.
    """
    lost = row.lease_until is not None
    return replace(
        row,
        lease_until=int(now) + LEASE_SECONDS,
        resend_at=resend_time(now) if lost else row.resend_at,
    )


def renewed(row: Delivery, now: float) -> Delivery:
    """Let its sender have a row for longer."""
    return replace(row, lease_until=int(now) + LEASE_SECONDS)


def apply_outcome(
    row: Delivery,
    sent: Sent,
    outcome: Outcome,
    *,
    now: float,
    random_fraction: float,
    cut_off: int | None,
) -> Delivery:
    """
    Give a row as it is after a call.

    Args:
        row: As it is now, locked.
        now: Epoch seconds, after the call.
        chance: Random, 0 to 1.
        cut_off: Of the user, epoch seconds; what a missing user waits for.
    """
    may_have_landed = outcome.result in {Result.DONE, Result.UNKNOWN}
    if row.lease_until != sent.lease_until:
        # Somebody else has the row by now: what we sent may have landed after what they sent.
        return mark_changed(row, now, resend=True) if may_have_landed else row
    row = replace(row, lease_until=None)
    if outcome.result is Result.UNKNOWN:
        row = replace(row, resend_at=resend_time(now))
    if outcome.result is Result.DONE:
        row = replace(row, applied_version=sent.version)
    if row.version != sent.version or outcome.result is Result.NOT_ATTEMPTED:
        return row  # changed meanwhile or not tried, and due
    after = _after(row, sent, outcome, now=now, random_fraction=random_fraction, cut_off=cut_off)
    return after if after.state is row.state else replace(after, updated_at=int(now))


def mark_changed(row: Delivery, now: float, *, resend: bool) -> Delivery:
    """
    Give a row of which Stream may hold something else from now on.

    Whoever holds a lease keeps it: what they are sending is not the current version any more.

    Args:
        resend: Whether what changed it may still land.
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
    )


def resend_time(now: float) -> int:
    """Give the time from which on no earlier call can land."""
    return math.ceil(now) + RESEND_SECONDS


def next_pace(pace: Pace, outcome: Outcome, now: float, random_fraction: float) -> Pace:
    """Give the pace after a call, by a clock that never goes back."""
    if outcome.result in {Result.UNKNOWN, Result.NOT_DELIVERED, Result.KEY_REFUSED}:
        pause = back_off(pace.failures, random_fraction, _LONGEST_PAUSE)
        return Pace(pace.failures + 1, now + max(pause, outcome.wait))
    return Pace(0, now + outcome.wait)


def back_off(failures: int, random_fraction: float, longest: float) -> float:
    """Give the seconds until the next attempt: none at first, then 1, 2, 4, … less up to a half."""
    if failures == 0:
        return 0.0
    return min(longest, 2.0 ** min(failures - 1, 16)) * (1 - random_fraction / 2)


def _after(
    row: Delivery,
    sent: Sent,
    outcome: Outcome,
    *,
    now: float,
    random_fraction: float,
    cut_off: int | None,
) -> Delivery:
    """Give what becomes of the version that was sent, which is the current one."""
    match outcome.result:
        case Result.DONE:
            return _done(row, sent)
        case Result.ABSENT if row.kind == "user":
            return _absent(row, now, cut_off)
        case Result.UNKNOWN | Result.NOT_DELIVERED:
            state = DeliveryState.FAILED if row.attempts + 1 >= FAILED_AFTER else row.state
            longest = _LONGEST_WAIT
        case Result.KEY_REFUSED:
            state, longest = DeliveryState.FAILED, _LONGEST_WAIT
        case _:
            state, longest = DeliveryState.FAILED, _LONGEST_WAIT_OF_REFUSED
    # A call that may have landed is repeated at once; one that has not gains nothing by that.
    failures = row.attempts + (outcome.result is not Result.UNKNOWN)
    wait = max(back_off(failures, random_fraction, longest), outcome.wait)
    return replace(
        row,
        state=state,
        due_at=math.ceil(now + wait) if wait else int(now),
        attempts=row.attempts + 1,
        last_error=outcome.error,
    )


def _done(row: Delivery, sent: Sent) -> Delivery:
    row = replace(row, attempts=0, absent_since=None, last_error=None)
    if row.resend_at is not None and sent.at < row.resend_at:
        return replace(row, state=DeliveryState.PENDING, due_at=row.resend_at)
    return replace(row, state=DeliveryState.APPLIED, resend_at=None)


def _absent(row: Delivery, now: float, cut_off: int | None) -> Delivery:
    """
    Wait for a user that Stream does not have: their first connection makes them.

    Until no token from before the cut-off is left, which is at once where no cut-off stands.
    """
    row = replace(row, attempts=0, last_error=None)
    moot_at = max((cut_off + OBSOLETE_AFTER) if cut_off is not None else 0, row.resend_at or 0)
    if now >= moot_at:
        return replace(row, state=DeliveryState.OBSOLETE, absent_since=None, resend_at=None)
    since = int(now) if row.absent_since is None else row.absent_since
    interval = _ASK_OFTEN if now - since < _ASK_OFTEN_FOR else _ASK_SELDOM
    return replace(row, state=DeliveryState.ABSENT, absent_since=since, due_at=int(now) + interval)
