"""What stands against a user, or against everyone, as it is answered. Times are epoch seconds."""

from typing import Any

import msgspec

from tokensvc.delivery.store import DeliveryStatus
from tokensvc.revocations.rules import Act, Kind
from tokensvc.revocations.store import StoredStanding

NOT_SENT = "not_sent"
"""In place of a delivery's state, where Stream is not told at all."""


class Revocation(msgspec.Struct, frozen=True):
    """An act that stands."""

    id: str
    created_at: int
    tokens_valid_after: int
    kind: Kind


class StreamStatus(msgspec.Struct, frozen=True):
    """How far the cut-off has come on its way to Stream."""

    state: str
    updated_at: int | None
    last_error: str | None


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


def state_of(
    user_id: str | None,
    standing: StoredStanding,
    act: Act | None,
    delivery: DeliveryStatus | None,
) -> AppState:
    """
    Give a state.

    Args:
        user_id: `None` for everyone.
        act: The latest that stands.
        delivery: `None` where Stream is not told.
    """
    shared: dict[str, Any] = {
        "tokens_valid_after": standing.tokens_valid_after,
        "reason": act.reason if act is not None else None,
        "revocation": _revocation(act) if act is not None else None,
        "stream": StreamStatus(delivery.state, delivery.updated_at, delivery.last_error)
        if delivery is not None
        else StreamStatus(NOT_SENT, None, None),
    }
    if user_id is None:
        return AppState(**shared)
    return UserState(
        user_id=user_id,
        suspended=standing.suspended_at is not None,
        suspended_at=standing.suspended_at,
        sessions=0,
        **shared,
    )


def _revocation(act: Act) -> Revocation:
    return Revocation(act.id, act.created_at, act.tokens_valid_after, act.kind)
