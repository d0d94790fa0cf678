"""What stands against a user, or against everyone, as it is answered. Times are epoch seconds."""

from typing import Any

import msgspec

from tokensvc.delivery.state import StreamStatus, stream_status
from tokensvc.delivery.store import DeliveryStatus
from tokensvc.revocations.rules import Act, Kind
from tokensvc.revocations.store import StoredStanding


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
