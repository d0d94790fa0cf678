"""
The two bounds of a standing, and which issue time a token may have. Pure functions.

The sign-in bound is the cut-off: earlier sign-ins are refused. The Stream bound is the one that
Stream gets: the higher of the cut-off and the latest renewal.
"""

from dataclasses import dataclass, replace
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
    Version of a key ring. The ring is unchanged only if both members are equal.

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
        erased: Whether they are refused permanently, because the user was erased.
        tokens_valid_after: Cut-off in effect, the higher of the user's and the app's; `None` if
            none is in effect.
        floor: Highest bound ever set for the user or the app. An undo does not lower it.
        ring_version: Version of the ring of Stream keys at that moment.
        has_account: Whether the user has an account here; `None` if it was not read.
        session_has_ended: Whether the provider has ended the session of the credential.
    """

    now: int
    suspended: bool
    tokens_valid_after: int | None
    floor: int
    ring_version: RingVersion
    erased: bool = False
    has_account: bool | None = None
    session_has_ended: bool = False


@dataclass(frozen=True, slots=True)
class StoredStanding:
    """
    The row of a user or of the app. Times are epoch seconds.

    Attributes:
        tokens_valid_after: Cut-off, the sign-in bound; `None` if none is in effect.
        floor: Highest bound ever set.
        suspended_at: Start of the suspension; always `None` for the app.
        erased_at: Time of the erasure, which nothing ends; always `None` for the app.
        epoch: Number of actions that ended all sessions. Nothing lowers it.
        latest_renewal: Bound of the latest renewal; always `None` for the app.
        renewal_confirmed: Whether that bound was compared with the clock after its commit.
    """

    tokens_valid_after: int | None = None
    floor: int = 0
    suspended_at: int | None = None
    erased_at: int | None = None
    epoch: int = 0
    latest_renewal: int | None = None
    renewal_confirmed: bool = True

    @property
    def stream_bound(self) -> int | None:
        """The time before which Stream must refuse tokens; `None` without one."""
        return _latest(self.tokens_valid_after, self.latest_renewal)


def with_floor(standing: StoredStanding) -> StoredStanding:
    """Return the row with a floor that is at least the Stream bound."""
    return replace(standing, floor=max(standing.floor, standing.stream_bound or 0))


def next_bound(current: int | None, now: float) -> int:
    """
    Return the bound that an action sets: the next whole second, if the current is not higher.

    `iat` has no fractions and Stream compares strictly: a token issued in this second is refused,
    a token issued in the next second is accepted.
    """
    return max(current or 0, int(now) + 1)


def has_passed(bound: int, now: float) -> bool:
    """
    Return whether a bound is not in the future, so that it must move.

    Args:
        now: Epoch seconds after the commit. A token that was minted before the commit can have any
            `iat` up to this time.
    """
    return now >= bound


def renewed(standing: StoredStanding, now: float) -> StoredStanding:
    """Return the row after a renewal, which is to be confirmed after its commit."""
    bound = next_bound(standing.latest_renewal, now)
    return replace(standing, latest_renewal=bound, renewal_confirmed=False)


def with_confirmed_renewal(standing: StoredStanding, now: float) -> StoredStanding:
    """
    Return the row with its renewal confirmed: if the bound passed before the commit, it moves.

    Args:
        now: Epoch seconds after the commit.
    """
    bound = standing.latest_renewal
    if bound is None or standing.renewal_confirmed:
        return standing
    moved = next_bound(bound, now) if has_passed(bound, now) else bound
    return replace(standing, latest_renewal=moved, renewal_confirmed=True)


def erased(standing: StoredStanding, now: int) -> StoredStanding:
    """
    Return the row of a user who is erased now.

    It is a suspension too, so that a process of the previous release refuses the user.
    """
    suspended_at = now if standing.suspended_at is None else standing.suspended_at
    return replace(standing, erased_at=now, suspended_at=suspended_at)


def combine(
    now: int,
    ring_version: RingVersion,
    app: tuple[int | None, int],
    user: tuple[int | None, int | None, int | None, int | None],
) -> Standing:
    """
    Return the standing in effect: the stricter values of the user and the app.

    Args:
        app: Cut-off and floor of the app.
        user: Cut-off, floor, start of the suspension and time of the erasure of the user; all
            `None` without a row.
    """
    cut_off, floor, suspended_at, erased_at = user
    app_cut_off, app_floor = app
    return Standing(
        now=now,
        suspended=suspended_at is not None or erased_at is not None,
        erased=erased_at is not None,
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


def user_erased(status: int | None = None) -> Refusal:
    """
    Return the refusal of an erased user.

    Args:
        status: HTTP status, if it is not 403.
    """
    return Refusal(
        Code.USER_ERASED, "This user was erased, and the ID is refused permanently.", status=status
    )


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
