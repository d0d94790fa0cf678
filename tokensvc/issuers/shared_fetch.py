"""
One fetch at a time, shared by all who need its outcome.

Owns who may begin a fetch, who waits, and for how long. A provider that hangs must not take the
threads of users whose keys are known, so that few may wait, and nobody twice for one fetch. Leaves
what is fetched, and what its outcome means, to `jwks`.
"""

import threading
import time
from collections.abc import Callable

from tokensvc.core.clock import Clock


class _PendingFetch:
    """A fetch under way."""

    def __init__(self, seconds: float) -> None:
        self.done = threading.Event()
        self._deadline = time.monotonic() + seconds

    def wait(self) -> bool:
        """Wait for the end, not longer than a fetch may take; tell whether it came."""
        return self.done.wait(max(0.0, self._deadline - time.monotonic()))


class SharedFetch:
    """
    A fetch that many want.

    Args:
        name: Of its thread.
        fetch: Does it; must not raise.
        timeout: Seconds that anyone waits for one fetch, in all.
        cooldown: Seconds between two fetches that requests cause.
        places: Where requests wait, shared by all fetches of the process: one dead provider beside
            another must not take twice as many threads.
        clock: For the cool-down; waiting is on the monotonic clock.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], None],
        *,
        timeout: float,
        cooldown: int,
        wait_slots: threading.Semaphore,
        clock: Clock,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._timeout = timeout
        self._cooldown = cooldown
        self._places = wait_slots
        self._clock = clock
        self._lock = threading.Lock()
        self._flight: _PendingFetch | None = None
        self._begun_at: float | None = None
        self._asked_at: dict[bool, float] = {}

    def begin_if_due(self, interval: float) -> None:
        """Begin one if the last began so many seconds ago. Does not wait for it."""
        with self._lock:
            if self._flight is None and self._has_passed(self._begun_at, interval):
                self._begin()

    def run(self) -> None:
        """Begin one, or join the one under way, and wait for its end."""
        with self._lock:
            flight = self._flight or self._begin()
        flight.wait()

    def ask(self, *, cold: bool) -> bool:
        """
        Join the fetch under way, or begin one unless a request did so within the cool-down.

        Args:
            cold: Whether nothing is known yet. Such requests have a cool-down of their own: that
                of a cold start must not keep a new key out.

        Returns:
            Whether what is known now is as new as it can be; not after a wait in vain, or without
            a place to wait.
        """
        with self._lock:
            flight = self._flight
            if flight is None:
                if not self._has_passed(self._asked_at.get(cold), self._cooldown):
                    return True
                self._asked_at[cold] = self._clock()
                flight = self._begin()
        if not self._places.acquire(blocking=False):
            return False
        try:
            return flight.wait()
        finally:
            self._places.release()

    def retry_after(self) -> int:
        """Give the seconds after which asking again may find something new."""
        with self._lock:
            if self._flight is not None or not self._asked_at:
                return 1
            left = max(self._asked_at.values()) + self._cooldown - self._clock()
            return max(1, min(int(left), self._cooldown))

    def _has_passed(self, since: float | None, seconds: float) -> bool:
        """Tell whether a time has passed; a clock that was set back must not stretch it."""
        return since is None or not 0 <= self._clock() - since < seconds

    def _begin(self) -> _PendingFetch:
        """Begin in a thread of its own: even a name server that hangs holds up no request."""
        flight = _PendingFetch(self._timeout)
        threading.Thread(target=self._run, args=(flight,), name=self._name, daemon=True).start()
        self._flight = flight
        self._begun_at = self._clock()
        return flight

    def _run(self, flight: _PendingFetch) -> None:
        try:
            self._fetch()
        finally:
            with self._lock:
                self._flight = None
            flight.done.set()
