"""
The times of recent reads of a database server.

A thread that announces a wait passes on the lead of its worker, which costs more than a short read
takes. A longer read that keeps the lead lets other requests wait.
"""

import math
from typing import Final

SHORT_SECONDS: Final = 0.0008
"""Longest typical read during which a thread keeps the lead."""
RETRY_SECONDS: Final = 0.25
"""Seconds between two reads that keep the lead to be measured, while reads take longer."""
_SHARE: Final = 1 / 8
_LONGEST: Final = 2 * SHORT_SECONDS
"""More of one read does not count: its thread may have waited for a processor."""


class ReadTimes:
    """
    Decides whether a read keeps the lead, by those that have kept it.

    The others are not measured: their threads also wait for the one that leads now.
    """

    __slots__ = ("_retry_at", "_typical")

    def __init__(self) -> None:
        self._typical = math.inf
        self._retry_at = -math.inf

    def keeps_lead(self, now: float) -> bool:
        """Return whether the next read keeps the lead at a time on the monotonic clock."""
        if self._typical <= SHORT_SECONDS:
            return True
        if now < self._retry_at:
            return False
        self._retry_at = now + RETRY_SECONDS
        return True

    def record(self, begun_at: float, now: float) -> None:
        """Record a read that has kept the lead until now."""
        seconds = now - begun_at
        if seconds > self._typical:
            self._typical += (min(seconds, _LONGEST) - self._typical) * _SHARE
        else:
            self._typical = seconds
        self._retry_at = now + RETRY_SECONDS
