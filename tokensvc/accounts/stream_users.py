"""Whether Stream already has a user whom a sign-up would take over."""

from collections.abc import Callable

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.stream.api import StreamApi, user_ids_in
from tokensvc.stream.keys.rules import StreamKeyRing
from tokensvc.stream.responses import CallStatus

_RETRY_AFTER = 10


def stream_has(
    api: StreamApi,
    current_ring: Callable[[], StreamKeyRing],
    wait_slots: WaitSlots,
    user_id: str,
) -> bool:
    """
    Return whether Stream has a user. No transaction may be open: the call can take seconds.

    Args:
        current_ring: Function that loads the key ring.
        wait_slots: Slots for requests that wait.

    Raises:
        Refusal: `temporarily_unavailable`: Stream is unreachable or refuses the call, or too many
            requests wait.
    """
    key = current_ring().active
    if key is None:
        raise _unknown("no Stream key is active")
    with wait_slots.outside():
        response = api.find_users(key, [user_id])
    if response.status is not CallStatus.DONE:
        raise _unknown(f"{response.status}: {response.error}")
    return user_id in user_ids_in(response)


def _unknown(reason: str) -> Refusal:
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "Cannot find out whether Stream already has this user. Retry after `Retry-After` seconds.",
        reason=reason,
        retry_after=_RETRY_AFTER,
    )
