"""What stands against a user, or against everyone, as it is answered. Times are epoch seconds."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.delivery.state import StreamStatus, stream_status
from tokensvc.delivery.store import DeliveryStatus
from tokensvc.revocations import rules
from tokensvc.revocations.rules import Act, HoldsUntil, RevocationKind
from tokensvc.revocations.store import StoredStanding

UNDO_WARNING = (
    "Provider credentials and Stream tokens from before the revocation work again until they "
    "expire, stolen ones too. Sessions that it ended stay ended."
)


class Revocation(msgspec.Struct, frozen=True):
    """
    A revocation or suspension in effect.

    Attributes:
        id: ID of the revocation, for undoing it.
        created_at: Time of the action, in epoch seconds.
        tokens_valid_after: Cut-off that the action set, in epoch seconds.
        kind: Kind of the action.
    """

    id: str
    created_at: int
    tokens_valid_after: int
    kind: RevocationKind


class UserState(msgspec.Struct, frozen=True, kw_only=True):
    """
    State of a user. Every legal user ID has one.

    Attributes:
        user_id: ID of the user on Stream.
        suspended: Whether all tokens for the user are refused.
        suspended_at: Start of the suspension, in epoch seconds.
        tokens_valid_after: Cut-off of the user, in epoch seconds. Earlier sign-ins are refused.
            `null` if no cut-off is in effect.
        reason: Reason of the suspension while it lasts, otherwise of the latest action in effect.
        sessions: Number of the user's live sessions in this service.
        revocation: Latest action in effect.
        stream: Delivery of the cut-off to Stream.
    """

    user_id: str
    suspended: bool
    suspended_at: int | None
    tokens_valid_after: int | None
    reason: str | None
    sessions: int
    revocation: Revocation | None
    stream: StreamStatus


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
    acts: Sequence[Act],
    delivery: DeliveryStatus | None,
) -> UserState:
    """
    Give what stands against a user.

    Args:
        acts: Those that stand, at least.
        delivery: `None` where Stream is not told.
    """
    return UserState(
        user_id=user_id,
        suspended=standing.suspended_at is not None,
        suspended_at=standing.suspended_at,
        sessions=0,
        **_shared(standing, acts, delivery),
    )


def app_state(
    standing: StoredStanding, acts: Sequence[Act], delivery: DeliveryStatus | None
) -> AppState:
    """Give what stands against everyone; arguments as of `user_state`."""
    return AppState(**_shared(standing, acts, delivery))


def action_result(
    state: State, holds_until: HoldsUntil | None, *, dry_run: bool, is_undo: bool
) -> UserActionResult | AppActionResult:
    """
    Give what an act answers.

    Args:
        state: What stands now, or would.
        holds_until: What ends the refusals that it means.
    """
    meaning: dict[str, Any] = {
        "holds_until": holds_until,
        "warning": UNDO_WARNING if is_undo else UNSET,
        "dry_run": dry_run or UNSET,
    }
    kind = UserActionResult if isinstance(state, UserState) else AppActionResult
    return kind(**msgspec.structs.asdict(state), **meaning)


def _shared(
    standing: StoredStanding, acts: Sequence[Act], delivery: DeliveryStatus | None
) -> dict[str, Any]:
    act = rules.latest(acts)
    revocation = None
    if act is not None:
        revocation = Revocation(act.id, act.created_at, act.tokens_valid_after, act.kind)
    return {
        "tokens_valid_after": standing.tokens_valid_after,
        "reason": rules.reason_of(acts, suspended=standing.suspended_at is not None),
        "revocation": revocation,
        "stream": stream_status(delivery),
    }
