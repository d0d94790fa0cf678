"""Mints that named no Stream key: counted in memory by requests, written by a background loop."""

import threading
from collections import Counter

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.keys.store import HOUR, add_unnamed_mints


class UnnamedMints:
    """
    Counts by hour that are not in the database yet, so that no request writes one.

    A crash loses them and nothing else.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()

    def count(self) -> None:
        """Count a mint whose request named no Stream key."""
        now = int(self._clock())
        with self._lock:
            self._counts[now - now % HOUR] += 1

    def write(self) -> None:
        """
        Write the counts in one transaction. After a failure they stay for the next call.

        One thread at a time may call this. If the response to a commit is lost, its counts are
        written twice. That is safe: a count that is too high only causes a warning.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._lock:
            counts = self._counts.copy()
        if not counts:
            return
        with self._database.write() as tx:
            # All processes write in this order, so that they cannot deadlock.
            for hour, count in sorted(counts.items()):
                add_unnamed_mints(tx, hour, count)
        with self._lock:
            self._counts -= counts
