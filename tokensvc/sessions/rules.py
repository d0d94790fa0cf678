"""
What the presentation of a refresh token results in. Pure.

A family counts its rotations, and each rotation opens a window of `reuse_grace` seconds. In the
window both the current token and its predecessor get the current token, so that two tabs and a
client that lost a response converge. After it, the current token rotates and any other one ends the
family: a thief and the user cannot both continue.

The caller has verified the token (`refresh_tokens.verify`), and applies the decision with a
compare-and-swap on the counter, both epochs and `ended_at`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import Epochs


@dataclass(frozen=True, slots=True)
class Family:
    """
    A session. Times are epoch seconds of the database's clock, with fractions.

    Attributes:
        id: ID of the row.
        client_id: OAuth client that signed in.
        counter: Counter of the current token; 0 after the sign-in.
        rotated_at: Time of the last rotation; `None` before the first.
        created_at: Time of the sign-in.
        last_used_at: Time of the sign-in or of the last rotation.
        epochs: Epochs as read before the password was checked.
        ended_at: Time of sign-out, revocation or replay; `None` while the family is not ended.
    """

    id: str
    user_id: str
    client_id: str
    counter: int
    rotated_at: float | None
    created_at: float
    last_used_at: float
    epochs: Epochs
    ended_at: float | None


class Cause(StrEnum):
    """Why no token is returned, for the log and the audit trail; the client learns none of it."""

    OTHER_CLIENT = "other_client"
    ENDED = "ended"
    REVOKED = "revoked"
    EXPIRED = "expired"
    IDLE = "idle"
    UNKNOWN_COUNTER = "unknown_counter"
    REPLAYED_RECENT = "recent"
    """The predecessor, after the window: a lost response, or a thief."""
    REPLAYED_STALE = "stale"
    """An older token: no client that works correctly still has it."""


@dataclass(frozen=True, slots=True)
class ReturnCurrent:
    """Return the current refresh token. Nothing is written."""

    family: Family


@dataclass(frozen=True, slots=True)
class Advance:
    """Store this state of the family and return the token of its counter."""

    family: Family


@dataclass(frozen=True, slots=True)
class EndReplayed:
    """Store this ended state of the family and audit the replay; then refuse."""

    family: Family
    cause: Cause


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse. Nothing is written."""

    cause: Cause


RefreshDecision: TypeAlias = ReturnCurrent | Advance | EndReplayed | Reject


def decide_refresh(
    family: Family,
    *,
    presented_counter: int,
    client_id: str,
    standing: Epochs,
    now: float,
    settings: SessionSettings,
    was_current: bool = False,
) -> RefreshDecision:
    """
    Decide about a verified refresh token.

    Args:
        presented_counter: Counter of the token.
        client_id: Client that presents it.
        standing: Epochs in effect, read in the same statement as the family.
        now: Epoch seconds of the database's clock.
        was_current: Whether the token was the current one when the request came, and the family
            has changed since. It gets the current token, however long the request has waited.
    """
    if client_id != family.client_id:
        return Reject(Cause.OTHER_CLIENT)
    cause = why_dead(family, standing, now, settings)
    if cause is not None:
        return Reject(cause)
    behind = family.counter - presented_counter
    if behind < 0:
        return Reject(Cause.UNKNOWN_COUNTER)
    in_window = _is_in_window(family, now, settings.reuse_grace)
    if (behind <= 1 and in_window) or (behind > 0 and was_current):
        return ReturnCurrent(family)
    if behind == 0:
        return Advance(
            replace(family, counter=family.counter + 1, rotated_at=now, last_used_at=now)
        )
    cause = Cause.REPLAYED_RECENT if behind == 1 else Cause.REPLAYED_STALE
    return EndReplayed(replace(family, ended_at=now), cause)


def why_dead(
    family: Family, standing: Epochs, now: float, settings: SessionSettings
) -> Cause | None:
    """Return why a family no longer gives access, also to its access tokens; `None` if it does."""
    if family.ended_at is not None:
        return Cause.ENDED
    if family.epochs != standing:
        return Cause.REVOKED
    if now >= family.created_at + settings.absolute_ttl:
        return Cause.EXPIRED
    if now >= family.last_used_at + settings.idle_ttl:
        return Cause.IDLE
    return None


def expires_at(family: Family, settings: SessionSettings) -> float:
    """Return the time when the family ends unless it rotates, in epoch seconds."""
    return min(family.created_at + settings.absolute_ttl, family.last_used_at + settings.idle_ttl)


def _is_in_window(family: Family, now: float, reuse_grace: int) -> bool:
    """
    Return whether the last rotation is less than `reuse_grace` seconds away.

    If the clock was set back a little, the window continues. If it was set back further, it is
    over: otherwise the predecessor would be accepted until the clock has caught up.
    """
    return family.rotated_at is not None and abs(now - family.rotated_at) < reuse_grace
