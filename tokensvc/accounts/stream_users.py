"""Whether Stream already has a user whom a sign-up would take over."""

from collections.abc import Callable

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.waiting import WaitSlots
from tokensvc.stream.api import CallStatus, StreamApi, user_ids_in
from tokensvc.stream.keys.rules import StreamKeyRing

_RETRY_AFTER = 10


class StreamUsers:
    """
    Users of the Stream app.

    Args:
        current_ring: Function that loads the key ring.
        wait_slots: Slots for requests that wait.
    """

    def __init__(
        self,
        api: StreamApi,
        current_ring: Callable[[], StreamKeyRing],
        wait_slots: WaitSlots,
    ) -> None:
        self._api = api
        self._current_ring = current_ring
        self._wait_slots = wait_slots

    def has(self, user_id: str) -> bool:
        """
        Return whether Stream has a user. No transaction may be open: the call can take seconds.

        Raises:
            Refusal: `temporarily_unavailable`: Stream is unreachable or refuses the call, or too
                many requests wait.
        """
        key = self._current_ring().active
        if key is None:
            raise _unknown("no Stream key is active")
        with self._wait_slots.outside():
            response = self._api.find_users(key, [user_id])
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
