"""
One fetch at a time, shared by all requests that need its result.

Owns which request starts a fetch, which ones wait, and for how long. A provider that hangs must not
occupy the threads of users whose keys are known: few requests may wait, and only until the fetch
times out. `jwks` decides what is fetched and what the result means.
"""

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from tokensvc.core.clock import Clock
from tokensvc.core.deadline import Deadline
from tokensvc.core.waiting import NoWaitSlotError, WaitSlots


@dataclass(frozen=True, slots=True)
class _PendingFetch:
    """
    A running fetch.

    Attributes:
        timeout: Time until which requests wait for its end.
    """

    timeout: Deadline
    done: threading.Event = field(default_factory=threading.Event)


class SharedFetch:
    """
    A fetch that many requests share.

    Args:
        name: Name of its thread.
        fetch: Fetches; must not raise.
        timeout: Seconds from the start of a fetch for which requests wait for it.
        cooldown: Minimum seconds between two fetches that requests cause.
        wait_slots: Slots for requests that wait, shared by all fetches of the process: two dead
            providers must not occupy more threads than one.
        clock: Epoch seconds, for the cool-down; waiting uses the monotonic clock.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], None],
        *,
        timeout: float,
        cooldown: int,
        wait_slots: WaitSlots,
        clock: Clock,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._timeout = timeout
        self._cooldown = cooldown
        self._wait_slots = wait_slots
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: _PendingFetch | None = None
        self._started_at: float | None = None
        self._requested_at: dict[bool, float] = {}

    def start_if_due(self, interval: float) -> None:
        """Start a fetch if the last one started `interval` seconds ago; do not wait for it."""
        with self._lock:
            if self._pending is None and self._has_passed(self._started_at, interval):
                self._start()

    def run(self) -> None:
        """Start a fetch, or join the running one, and wait for its end."""
        with self._lock:
            pending = self._pending or self._start()
        _wait(pending)

    def request(self, *, cold: bool, counts_in_cooldown: bool = True) -> bool:
        """
        Join the running fetch, or start one unless a request did so within the cool-down.

        Args:
            cold: Whether there are no keys yet. These requests have a cool-down of their own, so
                that it does not delay the fetch of a new key after the first keys arrived.
            counts_in_cooldown: Result within the cool-down: whether keys of before count as new.

        Returns:
            Whether the keys are as new as possible; `False` after a wait that timed out, or
            without a free wait slot.
        """
        with self._lock:
            pending = self._pending
            if pending is None:
                if not self._has_passed(self._requested_at.get(cold), self._cooldown):
                    return counts_in_cooldown
                self._requested_at[cold] = self._clock()
                pending = self._start()
        try:
            with self._wait_slots.outside():
                return _wait(pending)
        except NoWaitSlotError:
            return False

    def retry_after(self) -> int:
        """Return the `Retry-After` in seconds."""
        with self._lock:
            if self._pending is not None or not self._requested_at:
                return 1
            remaining = max(self._requested_at.values()) + self._cooldown - self._clock()
            return max(1, min(math.ceil(remaining), self._cooldown))

    def _has_passed(self, since: float | None, seconds: float) -> bool:
        """Return whether the time has passed; a clock that was set back does not extend it."""
        return since is None or not 0 <= self._clock() - since < seconds

    def _start(self) -> _PendingFetch:
        """Start a thread: even a name server that hangs delays no other request."""
        pending = _PendingFetch(Deadline(self._timeout))
        threading.Thread(target=self._run, args=(pending,), name=self._name, daemon=True).start()
        self._pending = pending
        self._started_at = self._clock()
        return pending

    def _run(self, pending: _PendingFetch) -> None:
        try:
            self._fetch()
        finally:
            with self._lock:
                self._pending = None
            pending.done.set()


def _wait(pending: _PendingFetch) -> bool:
    """Wait for the end of a fetch, at most until its time-out; return whether it has ended."""
    return pending.done.wait(pending.timeout.remaining())
