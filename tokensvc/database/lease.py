"""
The lease of a process on its primary: what it reads counts only soon after a durable commit.

With synchronous standbys, a commit succeeds only on a server that a majority still follows. So a
previous primary that nobody has told about its replacement gives no token.
"""

import math
import time
from typing import Final

from tokensvc.database.failures import unavailable_because
from tokensvc.database.servers import Server

RENEWAL_SECONDS: Final = 1.0
"""Seconds between two commits of a process."""


class Lease:
    """
    The time until which reads count, on one primary.

    Args:
        seconds: Time from the start of a commit.
    """

    __slots__ = ("_begins_at", "_ends_at", "_seconds", "_timeline")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begins_at = self._ends_at = -math.inf
        self._timeline: tuple[str, int] | None = None

    def renew(self, server: Server, began_at: float) -> None:
        """
        Record a durable commit. After a promotion, wait for the leases of other processes to end.

        Args:
            server: Server that has committed.
            began_at: Time before the commit, on the monotonic clock.
        """
        timeline = server.system, server.timeline
        if self._timeline not in {None, timeline}:
            self._begins_at = time.monotonic() + self._seconds
        self._timeline, self._ends_at = timeline, began_at + self._seconds

    def check(self) -> None:
        """
        Check that the lease is in effect.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        now = time.monotonic()
        if now > self._ends_at:
            raise unavailable_because("database: no durable commit within `database.lease`")
        if now < self._begins_at:
            raise unavailable_because("database: after a failover, leases must end first")
