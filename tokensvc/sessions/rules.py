"""
Decide what a presented refresh token does. Pure.

A family counts its rotations, and each rotation opens a window of `reuse_grace` seconds. In the
window both the current token and its predecessor get the current token, so that two tabs and a
client that lost a response converge. After it, the current token rotates and any other one ends the
family: a thief and the user cannot both continue.

A thief could present the predecessor in each window. So its use from another network than that of
the rotation is reported, and ends the family once a client has used the current token: then no
response was lost.

The caller has verified the token (`refresh_tokens.verify`), and applies the decision with a
compare-and-swap on the counter, both epochs and `ended_at`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from tokensvc.core.clock import start_of_day
from tokensvc.sessions.settings import SessionSettings
from tokensvc.standing.rules import Epochs


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: keyed hashes of the client's address and of its network."""

    address: str
    network: str


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
        rotated_from: Origin of the last rotation, or of the sign-in; `None` if a release has
            written the row that does not know it.
        confirmed_counter: Last counter whose token was presented in its own window; `None` before.
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
    rotated_from: Origin | None = None
    confirmed_counter: int | None = None


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
    REPLAYED_ELSEWHERE = "elsewhere"
    """The predecessor, from another network, although a client has used the current token."""


@dataclass(frozen=True, slots=True)
class ReturnCurrent:
    """
    Return the current refresh token. The family stays as it is.

    Attributes:
        from_elsewhere: Whether to audit that a previous token came from another network than the
            rotation: from a user who changes networks, or from a thief.
    """

    family: Family
    from_elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Confirm:
    """Store this state of the family: a client has the current token. Return this token."""

    family: Family


@dataclass(frozen=True, slots=True)
class Advance:
    """
    Store this state of the family and return the token of its counter.

    Attributes:
        renews_address: Whether the address may have been stored on an earlier day, or never.
    """

    family: Family
    renews_address: bool


@dataclass(frozen=True, slots=True)
class EndReplayed:
    """Store this ended state of the family and audit the replay; then refuse."""

    family: Family
    cause: Cause


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse. Nothing is written."""

    cause: Cause


RefreshDecision: TypeAlias = ReturnCurrent | Confirm | Advance | EndReplayed | Reject


def decide_refresh(
    family: Family,
    *,
    presented_counter: int,
    client_id: str,
    origin: Origin,
    epochs: Epochs,
    now: float,
    settings: SessionSettings,
    was_current: bool = False,
) -> RefreshDecision:
    """
    Decide about a verified refresh token.

    Args:
        presented_counter: Counter of the token.
        client_id: Client that presents it.
        origin: Origin of the request.
        epochs: Epochs in effect, read in the same statement as the family.
        now: Epoch seconds of the database's clock.
        was_current: Whether the token was the current one when the request came, and the family
            has changed since. It gets the current token, however long the request has waited.
    """
    if client_id != family.client_id:
        return Reject(Cause.OTHER_CLIENT)
    cause = why_dead(family, epochs, now, settings)
    if cause is not None:
        return Reject(cause)
    behind = family.counter - presented_counter
    if behind < 0:
        return Reject(Cause.UNKNOWN_COUNTER)
    in_window = _is_in_window(family, now, settings.reuse_grace)
    if behind == 0:
        return _confirm(family) if in_window else _advance(family, origin, now)
    from_elsewhere = family.rotated_from is not None and (
        origin.network != family.rotated_from.network
    )
    if behind > 1:
        cause = Cause.REPLAYED_STALE
    elif not in_window:
        cause = Cause.REPLAYED_RECENT
    elif from_elsewhere and family.confirmed_counter == family.counter:
        cause = Cause.REPLAYED_ELSEWHERE
    if cause is None or was_current:
        return ReturnCurrent(family, from_elsewhere)
    return EndReplayed(replace(family, ended_at=now), cause)


def _confirm(family: Family) -> ReturnCurrent | Confirm:
    """Return the current token in its window; store at the first time that a client has it."""
    if family.confirmed_counter == family.counter:
        return ReturnCurrent(family)
    return Confirm(replace(family, confirmed_counter=family.counter))


def _advance(family: Family, origin: Origin, now: float) -> Advance:
    """Rotate the current token."""
    is_known_today = (
        family.rotated_from is not None
        and family.rotated_from.address == origin.address
        and start_of_day(family.last_used_at) == start_of_day(now)
    )
    rotated = replace(
        family, counter=family.counter + 1, rotated_at=now, last_used_at=now, rotated_from=origin
    )
    return Advance(rotated, renews_address=not is_known_today)


def why_dead(family: Family, epochs: Epochs, now: float, settings: SessionSettings) -> Cause | None:
    """Return why a family no longer gives access, also to its access tokens; `None` if it does."""
    if family.ended_at is not None:
        return Cause.ENDED
    if family.epochs != epochs:
        return Cause.REVOKED
    if now >= family.created_at + settings.absolute_ttl:
        return Cause.EXPIRED
    if now >= family.last_used_at + settings.idle_ttl:
        return Cause.IDLE
    return None


def expires_at(family: Family, settings: SessionSettings) -> float:
    """Return the time when the family ends unless it rotates, in epoch seconds."""
    return min(family.created_at + settings.absolute_ttl, family.last_used_at + settings.idle_ttl)


def seen_by_itself(family: Family, now: float) -> Family:
    """
    Return a session as a request with its own access token sees it: used in this minute.

    A thief of that token would learn from the time of the last refresh when its predecessor is
    accepted.
    """
    return replace(family, last_used_at=max(family.created_at, now // 60 * 60))


def _is_in_window(family: Family, now: float, reuse_grace: int) -> bool:
    """
    Return whether the last rotation is less than `reuse_grace` seconds away.

    If the clock was set back a little, the window continues. If it was set back further, it is
    over: otherwise the predecessor would be accepted until the clock has caught up.
    """
    return family.rotated_at is not None and abs(now - family.rotated_at) < reuse_grace
