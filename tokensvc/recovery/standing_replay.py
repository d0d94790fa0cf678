"""Apply exported events of revocations, suspensions, undos and lowered cut-offs again."""

from dataclasses import replace

from tokensvc.audit.rules import AuditEvent
from tokensvc.core.ids import sortable_id
from tokensvc.core.targets import APP, Target
from tokensvc.database.engine import Transaction
from tokensvc.recovery.export import facts_of
from tokensvc.revocations import store
from tokensvc.revocations.rules import Revocation, cut_off_of, latest, next_cut_off
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind
from tokensvc.standing.store import StoredStanding

_LONGEST_ACTION = 60
"""Seconds. Until the commit of its action, a token with a later time than the event's could be
minted. The confirmation moved the cut-off then, and no event tells of that."""


def revoke(tx: Transaction, event: AuditEvent, kind: RevocationKind, now: float) -> None:
    """Add a revocation that the database lost, and move the cut-off."""
    target = _target_of(event)
    standing = standings.lock(tx, target)
    facts = facts_of(event)
    cut_off = (facts.tokens_valid_after or event.time + 1) + _LONGEST_ACTION
    added = Revocation(
        id=facts.revocation or sortable_id("rev", None, event.time, event.id[-8:]),
        created_at=event.time,
        tokens_valid_after=min(cut_off, int(now) + 1),
        kind=kind,
    )
    store.restore_revocation(tx, target, added, event.actor)
    _write_cut_off(tx, target, standing)


def suspend(tx: Transaction, event: AuditEvent, now: float) -> None:
    """Suspend a user again."""
    revoke(tx, event, RevocationKind.SUSPENSION, now)
    target = _target_of(event)
    standing = standings.lock(tx, target)
    if standing.suspended_at is None:
        standings.write(tx, target, replace(standing, suspended_at=event.time))


def reinstate(tx: Transaction, event: AuditEvent) -> bool:
    """End a suspension again, unless it is later than the event. Return whether it ended."""
    target = _target_of(event)
    standing = standings.lock(tx, target)
    ends = standing.suspended_at is not None and standing.suspended_at <= event.time
    if ends:
        standings.write(tx, target, replace(standing, suspended_at=None))
    return ends


def undo(tx: Transaction, event: AuditEvent) -> None:
    """Undo a revocation again, unless a later one is in effect or the event does not name it."""
    target = _target_of(event)
    standing = standings.lock(tx, target)
    found = latest(store.revocations_of(tx, target))
    if (
        found is not None
        and standing.suspended_at is None
        and found.id == facts_of(event).revocation
    ):
        store.mark_undone(tx, found.id, event.time)
        _write_cut_off(tx, target, standing)


def lower_floor(tx: Transaction, event: AuditEvent, now: float) -> None:
    """
    Lower cut-offs again that a wrong clock had set in the future.

    Those from after the event stay: an earlier replay may have added them.
    """
    floor = facts_of(event).floor
    if floor is None:
        return
    target = _target_of(event)
    standing = standings.lock(tx, target)
    store.lower_cut_offs_again(tx, target, floor, lowered_at=event.time, now=now)
    is_in_future = standing.floor > next_cut_off(None, now)
    at_least = floor if is_in_future else standing.floor
    _write_cut_off(tx, target, replace(standing, floor=at_least))


def _write_cut_off(tx: Transaction, target: Target, standing: StoredStanding) -> None:
    """Write the cut-off of the revocations in effect."""
    cut_off = cut_off_of(store.revocations_of(tx, target))
    standings.set_cut_off(tx, target, standing, cut_off)


def _target_of(event: AuditEvent) -> Target:
    return APP if event.action.startswith("app:") else Target(event.subject)
