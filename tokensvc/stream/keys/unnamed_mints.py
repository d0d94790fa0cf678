"""Mints that named no Stream key: counted in memory by requests, written by a background loop."""

import operator
from collections.abc import Mapping

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.pending import PendingWrites
from tokensvc.stream.keys.store import HOUR, add_unnamed_mints


class UnnamedMints(PendingWrites[int]):
    """Counts by hour. A count written twice is too high: it warns too early, never too late."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, operator.add)
        self._clock = clock

    def count(self) -> None:
        """Count a mint whose request named no Stream key."""
        now = int(self._clock())
        self._add(now - now % HOUR, 1)

    def _write_rows(self, tx: Transaction, numbers: Mapping[int, int]) -> None:
        # All processes write in this order, so that they cannot deadlock.
        for hour, count in sorted(numbers.items()):
            add_unnamed_mints(tx, hour, count)
