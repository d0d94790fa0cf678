"""
Windows in this process's memory.

The memory store of `limits` restarts a timer of 10 ms under load, which costs more than the
request. This one drops what has expired when it is asked, has no thread, and never holds more keys
than it was given: under a flood of new ones the key that was hit longest ago is forgotten.
"""

import time
from collections import OrderedDict
from threading import Lock

from tokensvc.core.clock import Clock
from tokensvc.limits.rules import EMPTY, Window, used

MAX_KEYS = 50_000


class _Counted:
    """The counters of a key; `start` is when its running window began."""

    __slots__ = ("current", "previous", "start")

    def __init__(self, start: float, previous: int, current: int) -> None:
        self.start = start
        self.previous = previous
        self.current = current


class MemoryWindows:
    """
    Sliding windows of one length.

    Args:
        limit: Hits that pass in a window.
        window: Its length in seconds.
        max_keys: More are never held.
        clock: Seconds from any moment. Monotonic, since a step of the system's clock must neither
            open a limit nor close it.
    """

    def __init__(
        self, limit: int, window: int, *, max_keys: int = MAX_KEYS, clock: Clock = time.monotonic
    ) -> None:
        self._limit = limit
        self._window = window
        self._max_keys = max_keys
        self._clock = clock
        self._lock = Lock()
        self._by_key: OrderedDict[str, _Counted] = OrderedDict()
        """In the order of the last hit that passed, so the head is the first to expire."""

    def __len__(self) -> int:
        return len(self._by_key)

    def take(self, key: str) -> tuple[bool, Window]:
        """Count a hit if it passes; tell whether it did, and what is counted now."""
        with self._lock:
            now = self._clock()
            counted = self._by_key.get(key)
            if counted is None:
                self._make_room(now)
                counted = self._by_key[key] = _Counted(now, 0, 0)
            elif now - counted.start >= self._window:
                counted = self._by_key[key] = self._advanced(counted, now)
            seen = self._seen(counted, now)
            if used(seen, self._window) >= self._limit:
                return False, seen
            counted.current += 1
            self._by_key.move_to_end(key)
            return True, self._seen(counted, now)

    def look(self, key: str) -> Window:
        """Tell what is counted, without counting."""
        with self._lock:
            counted = self._by_key.get(key)
            if counted is None:
                return EMPTY
            now = self._clock()
            if now - counted.start >= self._window:
                counted = self._advanced(counted, now)
            return self._seen(counted, now)

    def _advanced(self, counted: _Counted, now: float) -> _Counted:
        windows = (now - counted.start) // self._window
        return _Counted(
            counted.start + windows * self._window, counted.current if windows == 1 else 0, 0
        )

    def _seen(self, counted: _Counted, now: float) -> Window:
        left = counted.start + self._window - now
        return Window(counted.previous, left, counted.current, left + self._window)

    def _make_room(self, now: float) -> None:
        """Drop expired keys, two at most, so that a hit costs the same at any size."""
        for _ in range(2):
            if not self._by_key:
                return
            oldest = next(iter(self._by_key))
            expired = now - self._by_key[oldest].start >= 2 * self._window
            if not expired and len(self._by_key) < self._max_keys:
                return
            del self._by_key[oldest]
