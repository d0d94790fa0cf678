"""
Limits counted in this process's memory.

The memory is bounded: when a flood of new keys fills it, the key whose last hit is oldest is
dropped. Expired keys are dropped as new ones arrive, so no thread is needed.
"""

import time
from collections import OrderedDict
from threading import Lock

from tokensvc.core.clock import Clock
from tokensvc.limits.rules import MICROSECONDS, Decision, Rate, gcra

MAX_KEYS = 50_000


class MemoryStore:
    """
    Counts hits under one rate.

    Args:
        rate: The limit.
        max_keys: Maximum number of keys.
        clock: Seconds, monotonic: a step of the system clock must neither lift nor extend a limit.
    """

    def __init__(
        self, rate: Rate, *, max_keys: int = MAX_KEYS, clock: Clock = time.monotonic
    ) -> None:
        self._burst = rate.limit
        self._period = rate.period
        self._max_keys = max_keys
        self._clock = clock
        self._lock = Lock()
        self._tats: OrderedDict[str, int] = OrderedDict()
        """In the order of the last hit that passed."""

    def __len__(self) -> int:
        return len(self._tats)

    def check(self, key: str, *, count: bool) -> Decision:
        """
        Decide whether a hit passes.

        Args:
            key: Identifies the user, service or address.
            count: Whether a hit that passes is counted.
        """
        with self._lock:
            now = int(self._clock() * MICROSECONDS)
            tat = self._tats.get(key, 0)
            decision = gcra(tat, now, self._period, self._burst)
            if not (count and decision.allowed):
                return decision
            if not tat:
                self._make_room(now)
            backlog = decision.backlog + self._period
            self._tats[key] = now + backlog
            self._tats.move_to_end(key)
            return Decision(True, backlog)

    def _make_room(self, now: int) -> None:
        """Drop up to two keys, so that the cost of a hit does not depend on the number of keys."""
        for _ in range(2):
            oldest = next(iter(self._tats), None)
            if oldest is None or (self._tats[oldest] > now and len(self._tats) < self._max_keys):
                return
            del self._tats[oldest]
