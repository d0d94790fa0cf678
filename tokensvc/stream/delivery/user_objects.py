"""How profiles are claimed and sent."""

from collections.abc import Collection, Mapping
from typing import Any

from tokensvc.core import stream_user
from tokensvc.core.errors import Refusal
from tokensvc.database.engine import Transaction
from tokensvc.stream.delivery import profile_store, store
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.profile_store import Profile
from tokensvc.stream.delivery.rules import Delivery, Queue
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.responses import CallStatus, StreamResponse


def claim(tx: Transaction, rows: Collection[Delivery], now: float) -> dict[str, Profile]:
    """Return users' profiles."""
    # The previous sender may have created these users, which removes their cut-offs.
    lost = [row.subject for row in rows if row.lease_until is not None]
    store.mark_resend(tx, lost, now, resend=True)
    return dict(profile_store.read(tx, [row.subject for row in rows]))


def send(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """Query which of the users Stream has, then change those; if there are none, create users."""
    refused = _refused_profiles(batch)
    if refused:
        return refused
    present, missing, unknown = stream.find_users(batch)
    if unknown:
        return unknown

    def change(key: StreamKey, wanted: Mapping[str, Profile]) -> StreamResponse:
        return stream.api.change_users(
            key, {user_id: _change(profile) for user_id, profile in wanted.items()}
        )

    def create(key: StreamKey, wanted: Mapping[str, Profile]) -> StreamResponse:
        return stream.api.create_users(
            key, {user_id: profile.set for user_id, profile in wanted.items()}
        )

    return stream.send(queue, present, change) if present else stream.send(queue, missing, create)


def _refused_profiles(batch: Batch) -> dict[str, StreamResponse]:
    """Check stored profiles again: the checks may be stricter than when they were stored."""
    refused = {}
    for user_id, profile in batch.wanted.items():
        try:
            stream_user.check({"id": user_id, **profile.set}, user_id, by_server=True)
            for name in profile.unset:
                stream_user.check_name(name)
        except Refusal as refusal:
            refused[user_id] = StreamResponse(CallStatus.REFUSED, refusal.detail)
    return refused


def _change(profile: Profile) -> dict[str, Any]:
    return {"set": profile.set, **({"unset": profile.unset} if profile.unset else {})}
