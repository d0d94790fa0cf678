"""
The times of recent reads of a database server.

A thread that announces a wait passes on the lead of its worker, which costs more than a short read
takes. A longer read that keeps the lead lets other requests wait.
"""

import math
from typing import Final

SHORT_SECONDS: Final = 0.0008
"""Longest read for which a thread should keep the lead."""
LONG_READS: Final = 8
"""Longer reads in a row after which none keeps the lead. Fewer may have waited for a processor."""
PAUSE_SECONDS: Final = 0.25
"""Seconds for which then none keeps it. After it reads are measured again, by keeping it."""


class ReadTimes:
    """
    Decides whether a read keeps the lead, by those that have kept it.

    The others are not measured: their threads also wait for the one that leads now. While many
    threads wait like this, single reads take long on any server: one short one of `LONG_READS`
    shows that the server is fast.
    """

    __slots__ = ("_long_in_a_row", "_paused_until")

    def __init__(self) -> None:
        self._long_in_a_row = 0
        self._paused_until = -math.inf

    def keeps_lead(self, now: float) -> bool:
        """Return whether the next read keeps the lead at a time on the monotonic clock."""
        return now >= self._paused_until

    def record(self, begun_at: float, now: float) -> None:
        """Record a read that has kept the lead until now."""
        if now - begun_at <= SHORT_SECONDS:
            self._long_in_a_row = 0
            return
        self._long_in_a_row += 1
        if self._long_in_a_row >= LONG_READS:
            self._long_in_a_row = 0
            self._paused_until = now + PAUSE_SECONDS
