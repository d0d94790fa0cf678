"""What stands against a user, or against everyone, as it is answered. Times are epoch seconds."""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.delivery.state import StreamStatus, stream_status
from tokensvc.delivery.store import DeliveryStatus
from tokensvc.revocations.rules import Act, HoldsUntil, Kind
from tokensvc.revocations.store import StoredStanding

UNDO_WARNING = (
    "Provider credentials and Stream tokens from before the revocation work again until they "
    "expire, stolen ones too. Sessions that it ended stay ended."
)


class Revocation(msgspec.Struct, frozen=True):
    """An act that stands."""

    id: str
    created_at: int
    tokens_valid_after: int
    kind: Kind


class AppState(msgspec.Struct, frozen=True, kw_only=True):
    """What stands against everyone."""

    tokens_valid_after: int | None
    reason: str | None
    revocation: Revocation | None
    stream: StreamStatus


class UserState(AppState, frozen=True, kw_only=True):
    """What stands against a user. Every legal id has a state: no row is a clean one."""

    user_id: str
    suspended: bool
    suspended_at: int | None
    sessions: int


class UserAct(UserState, frozen=True, kw_only=True):
    """A user's new state, and what the act means."""

    holds_until: HoldsUntil | None
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


class AppAct(AppState, frozen=True, kw_only=True):
    """Everyone's new state, and what the act means."""

    holds_until: HoldsUntil | None
    warning: str | UnsetType = UNSET
    dry_run: bool | UnsetType = UNSET


def act_of(
    state: AppState, holds_until: HoldsUntil | None, *, dry_run: bool, is_undo: bool
) -> UserAct | AppAct:
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
    kind = UserAct if isinstance(state, UserState) else AppAct
    return kind(**msgspec.structs.asdict(state), **meaning)


def app_state(
    standing: StoredStanding, act: Act | None, delivery: DeliveryStatus | None
) -> AppState:
    """
    Give what stands against everyone.

    Args:
        act: The latest that stands.
        delivery: `None` where Stream is not told.
    """
    return AppState(**_shared(standing, act, delivery))


def user_state(
    user_id: str, standing: StoredStanding, act: Act | None, delivery: DeliveryStatus | None
) -> UserState:
    """Give what stands against a user; arguments as of `app_state`."""
    return UserState(
        user_id=user_id,
        suspended=standing.suspended_at is not None,
        suspended_at=standing.suspended_at,
        sessions=0,
        **_shared(standing, act, delivery),
    )


def _shared(
    standing: StoredStanding, act: Act | None, delivery: DeliveryStatus | None
) -> dict[str, Any]:
    return {
        "tokens_valid_after": standing.tokens_valid_after,
        "reason": act.reason if act is not None else None,
        "revocation": _revocation(act) if act is not None else None,
        "stream": stream_status(delivery),
    }


def _revocation(act: Act) -> Revocation:
    return Revocation(act.id, act.created_at, act.tokens_valid_after, act.kind)
