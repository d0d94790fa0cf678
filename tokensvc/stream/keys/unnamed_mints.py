"""Mints that named no Stream key: counted in memory by requests, written by a background loop."""

import operator
from collections.abc import Mapping

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.pending import PendingWrites
from tokensvc.stream.keys.store import HOUR, add_unnamed_mints


def pending_counts(database: Database) -> PendingWrites[int]:
    """
    Return the counts by hour that are not written yet.

    A count written twice is too high: it warns too early, never too late.
    """
    return PendingWrites(database, operator.add, _write)


def count_mint(counts: PendingWrites[int], clock: Clock) -> None:
    """Count a mint whose request named no Stream key."""
    now = int(clock())
    counts.add(now - now % HOUR, 1)


def _write(tx: Transaction, numbers: Mapping[int, int]) -> None:
    # All processes write in this order, so that they cannot deadlock.
    for hour, count in sorted(numbers.items()):
        add_unnamed_mints(tx, hour, count)
