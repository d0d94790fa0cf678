"""The state of a user or the app, as responses show it. Times are epoch seconds."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.revocations import rules
from tokensvc.revocations.rules import HoldsUntil, Revocation, StoredRevocation
from tokensvc.standing.rules import StoredStanding
from tokensvc.stream.delivery.state import ErasureStatus, StreamStatus

UNDO_WARNING = (
    "Provider credentials and Stream tokens from before the revocation work again until they "
    "expire, stolen ones too. Sessions that it ended stay ended."
)


class UserState(msgspec.Struct, frozen=True, kw_only=True):
    """
    State of a user. Every legal user ID has one.

    Attributes:
        user_id: ID of the user on Stream.
        suspended: Whether all tokens for the user are refused. So are those of an erased user.
        suspended_at: Start of the suspension, in epoch seconds.
        tokens_valid_after: Cut-off of the user, in epoch seconds. Earlier sign-ins are refused.
            `null` if no cut-off is in effect.
        reason: Reason of the suspension while it lasts, otherwise of the latest action in effect.
        sessions: Number of the user's open sessions in this service.
        revocation: Latest action in effect.
        stream: Delivery of the cut-off to Stream.
        erasure: Erasure of the user, which nothing ends; `null` if there is none.
    """

    user_id: str
    suspended: bool
    suspended_at: int | None
    tokens_valid_after: int | None
    reason: str | None
    sessions: int
    revocation: Revocation | None
    stream: StreamStatus
    erasure: ErasureStatus | None


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """
    State of the app: what applies to all users.

    Attributes:
        tokens_valid_after: Cut-off for all users, in epoch seconds, or `null` if none is in effect.
        reason: Reason of the latest action in effect.
        revocation: Latest action in effect.
        stream: Delivery of the cut-off to Stream.
    """

    tokens_valid_after: int | None
    reason: str | None
    revocation: Revocation | None
    stream: StreamStatus


State: TypeAlias = UserState | AppState


class UserActionResult(UserState, frozen=True, kw_only=True):
    """
    State of a user after an action.

    Attributes:
        holds_until: Event that ends the refusals, or `null` if nothing is refused.
        warning: Consequence of the action that the caller must know.
        dry_run: Present and `true` if nothing was changed.
    """

    holds_until: HoldsUntil | None
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class AppActionResult(AppState, frozen=True, kw_only=True):
    """
    State of the app after an action.

    Attributes:
        holds_until: Event that ends the refusals, or `null` if nothing is refused.
        warning: Consequence of the action that the caller must know.
        dry_run: Present and `true` if nothing was changed.
    """

    holds_until: HoldsUntil | None
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


def user_state(
    user_id: str,
    standing: StoredStanding,
    revocations: Sequence[StoredRevocation],
    stream: StreamStatus,
    *,
    sessions: int,
    erasure: ErasureStatus | None,
) -> UserState:
    """
    Return the state of a user.

    Args:
        revocations: All revocations of the user that are in effect; others are ignored.
        stream: Status of the delivery to Stream.
        sessions: Number of open sessions.
        erasure: Erasure of the user, if there is one.
    """
    return UserState(
        user_id=user_id,
        suspended=standing.suspended_at is not None,
        suspended_at=standing.suspended_at,
        sessions=sessions,
        erasure=erasure,
        **_shared(standing, revocations, stream),
    )


def app_state(
    standing: StoredStanding,
    revocations: Sequence[StoredRevocation],
    stream: StreamStatus,
) -> AppState:
    """Return the state of the app; the arguments are those of `user_state`."""
    return AppState(**_shared(standing, revocations, stream))


def action_result(
    state: State, holds_until: HoldsUntil | None, *, dry_run: bool, is_undo: bool
) -> UserActionResult | AppActionResult:
    """
    Return the result of an action.

    Args:
        state: State after the action; for a dry run, the state that it would have led to.
        holds_until: Event that ends the refusal of earlier credentials.
    """
    meaning: dict[str, Any] = {
        "holds_until": holds_until,
        "warning": UNDO_WARNING if is_undo else UNSET,
        "dry_run": dry_run or UNSET,
    }
    result = UserActionResult if isinstance(state, UserState) else AppActionResult
    return result(**msgspec.structs.asdict(state), **meaning)


def _shared(
    standing: StoredStanding,
    revocations: Sequence[StoredRevocation],
    stream: StreamStatus,
) -> dict[str, Any]:
    latest = rules.latest(revocations)
    is_suspended = standing.suspended_at is not None and standing.erased_at is None
    return {
        "tokens_valid_after": standing.tokens_valid_after,
        "reason": rules.reason_of(revocations, suspended=is_suspended),
        "revocation": _public(latest) if latest is not None else None,
        "stream": stream,
    }


def _public(stored: StoredRevocation) -> Revocation:
    """Return what responses show of a revocation."""
    return Revocation(stored.id, stored.created_at, stored.tokens_valid_after, stored.kind)
