"""Apply exported events of revocations, renewals, suspensions and undos again, and of floors."""

from dataclasses import replace

from tokensvc.core.actions import Target
from tokensvc.core.ids import sortable_id
from tokensvc.database.engine import Transaction
from tokensvc.recovery.events import (
    Event,
    FloorLowered,
    Renewed,
    Replay,
    RevocationUndone,
    Revoked,
)
from tokensvc.revocations import store
from tokensvc.revocations.rules import Revocation, cut_off_of, latest
from tokensvc.standing import store as standings
from tokensvc.standing.rules import RevocationKind, StoredStanding, erased, next_bound

_LONGEST_ACTION = 60
"""Seconds. Until the commit of its action, a token with a later time than the event's could be
minted. The confirmation moved the cut-off then, and no event tells of that."""


def revoke(
    replay: Replay, event: Revoked, kind: RevocationKind = RevocationKind.REVOCATION
) -> None:
    """Add a revocation that the database lost, and move the cut-off."""
    standing = standings.lock(replay.tx, event.target)
    added = Revocation(
        id=event.revocation or sortable_id("rev", None, event.time, event.id[-8:]),
        created_at=event.time,
        tokens_valid_after=_bound(replay, event, event.tokens_valid_after),
        kind=kind,
    )
    store.restore_revocation(replay.tx, event.target, added, event.actor)
    _write_cut_off(replay.tx, event.target, standing)


def renew(replay: Replay, event: Renewed) -> None:
    """Add a renewal that the database lost. It is confirmed, as a revocation is."""
    standing = standings.lock(replay.tx, event.target)
    bound = _bound(replay, event, event.latest_renewal)
    renewal = max(standing.latest_renewal or 0, bound)
    standings.write(replay.tx, event.target, replace(standing, latest_renewal=renewal))


def suspend(replay: Replay, event: Revoked) -> None:
    """Suspend a user again."""
    revoke(replay, event, RevocationKind.SUSPENSION)
    standing = standings.lock(replay.tx, event.target)
    if standing.suspended_at is None:
        standings.write(replay.tx, event.target, replace(standing, suspended_at=event.time))
    replay.reinstated.discard(event.subject)
    replay.banned.add(event.subject)


def erase(replay: Replay, event: Revoked) -> None:
    """Erase a user again. Stream may not have deleted the user yet."""
    revoke(replay, event, RevocationKind.DELETION)
    replay.erase_rows(replay.tx, event.subject, replay.clock())
    standing = standings.lock(replay.tx, event.target)
    if standing.erased_at is None:
        standings.write(replay.tx, event.target, erased(standing, event.time))
    replay.banned.add(event.subject)


def reinstate(replay: Replay, event: Event) -> None:
    """End a suspension again, unless it is later than the event."""
    standing = standings.lock(replay.tx, event.target)
    is_earlier = standing.suspended_at is not None and standing.suspended_at <= event.time
    if is_earlier and standing.erased_at is None:
        standings.write(replay.tx, event.target, replace(standing, suspended_at=None))
        replay.reinstated.add(event.subject)
        replay.banned.discard(event.subject)


def undo(replay: Replay, event: RevocationUndone) -> None:
    """Undo a revocation again, unless a later one is in effect or the event does not name it."""
    standing = standings.lock(replay.tx, event.target)
    found = latest(store.revocations_of(replay.tx, event.target))
    if found is not None and standing.suspended_at is None and found.id == event.revocation:
        store.mark_undone(replay.tx, found.id, event.time)
        _write_cut_off(replay.tx, event.target, standing)


def lower_floor(replay: Replay, event: FloorLowered) -> None:
    """
    Lower cut-offs again that a wrong clock had set in the future.

    Those from after the event stay: an earlier replay may have added them.
    """
    if event.floor is None:
        return
    tx, target, now = replay.tx, event.target, replay.clock()
    standing = standings.lock(tx, target)
    store.lower_cut_offs_again(tx, target, event.floor, lowered_at=event.time, now=now)
    latest_possible = next_bound(None, now)
    if standing.floor > latest_possible:
        standing = replace(standing, floor=event.floor)
    if (standing.latest_renewal or 0) > latest_possible:
        standing = replace(standing, latest_renewal=event.floor)
    _write_cut_off(tx, target, standing)


def _bound(replay: Replay, event: Event, named: int | None) -> int:
    """
    Return the bound that an action may have had after its confirmation, but none in the future.

    Args:
        named: Bound that the event names.
    """
    return min((named or event.time + 1) + _LONGEST_ACTION, next_bound(None, replay.clock()))


def _write_cut_off(tx: Transaction, target: Target, standing: StoredStanding) -> None:
    """Write the cut-off of the revocations in effect."""
    cut_off = cut_off_of(store.revocations_of(tx, target))
    standings.write(tx, target, replace(standing, tokens_valid_after=cut_off))
