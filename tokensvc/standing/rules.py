"""Which sign-ins a cut-off refuses, and which issue time a token may have. Pure functions."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tokensvc.core.errors import Code, Refusal


class RevocationKind(StrEnum):
    """Kind of the action that moved the cut-off."""

    REVOCATION = "revocation"
    SUSPENSION = "suspension"
    PASSWORD = "password"  # noqa: S105 - the user's password was changed or reset
    DELETION = "deletion"


class Ring(StrEnum):
    """A key ring: the Stream keys, or the keys that sign access tokens."""

    STREAM = "stream"
    SIGNING = "signing"


class RingVersion(NamedTuple):
    """
    Version of a key ring. Only equality says that nothing has changed.

    Attributes:
        counter: Number of changes. It repeats after the database is set back to an earlier state.
        ring_id: Random ID that each change writes, so that the version as a whole never repeats.
    """

    counter: int
    ring_id: str


@dataclass(frozen=True, slots=True)
class Epochs:
    """
    Number of actions that ended all sessions of a user, and of all users.

    A session has those from before its password was checked, and lives while they are in effect.
    """

    user: int
    app: int


@dataclass(frozen=True, slots=True)
class Standing:
    """
    One read of the standings of a user and the app.

    Attributes:
        now: Epoch seconds, read before or in the statement that read the rest: see step 4 in
            `docs/life-of-a-token-request.md`.
        suspended: Whether all tokens are refused.
        tokens_valid_after: Cut-off in effect, the higher of the user's and the app's; `None` if
            none is in effect.
        floor: Highest cut-off ever set for the user or the app. An undo does not lower it.
        ring_version: Version of the ring of Stream keys at that moment.
        has_account: Whether the user has an account here; `None` if it was not read.
    """

    now: int
    suspended: bool
    tokens_valid_after: int | None
    floor: int
    ring_version: RingVersion
    has_account: bool | None = None


def combine(
    now: int,
    ring_version: RingVersion,
    app: tuple[int | None, int],
    user: tuple[int | None, int | None, int | None],
) -> Standing:
    """
    Return the standing in effect: the stricter values of the user and the app.

    Args:
        app: Cut-off and floor of the app.
        user: Cut-off, floor and start of the suspension of the user; all `None` without a row.
    """
    cut_off, floor, suspended_at = user
    app_cut_off, app_floor = app
    return Standing(
        now=now,
        suspended=suspended_at is not None,
        tokens_valid_after=_latest(app_cut_off, cut_off),
        floor=max(app_floor, floor or 0),
        ring_version=ring_version,
    )


def sign_in_after(standing: Standing, clock_ahead: int) -> int | None:
    """
    Return the earliest sign-in time that the cut-off accepts; `None` if no cut-off is in effect.

    If the issuer's clock is ahead, a sign-in from before the cut-off can have a later time. So
    sign-ins within `clock_ahead` seconds after the cut-off are refused too.

    Args:
        clock_ahead: Seconds by which the issuer's clock may be ahead.
    """
    if standing.tokens_valid_after is None:
        return None
    return standing.tokens_valid_after + clock_ahead


def issued_at(standing: Standing, skew: int) -> int | None:
    """
    Return the `iat` of a token minted now; `None` while the floor is in the future.

    The time is backdated by `skew` seconds, because Stream refuses a token from the future with
    code 42, which is fatal to its JavaScript client. It is never before the floor, because Stream
    would refuse that token with code 40 and the client would request tokens in a loop.
    """
    if standing.floor > standing.now:
        return None
    return max(standing.now - skew, standing.floor)


def incomplete_database() -> Refusal:
    """Return the refusal for a database without the app's row."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The service's database is incomplete. Contact the operator.",
        reason="app_standing has no row",
        retry_after=30,
    )


def _latest(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
