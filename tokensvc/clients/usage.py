"""Last use of client secrets: kept in memory by requests, written by a background loop."""

from collections.abc import Mapping

from tokensvc.clients.store import note_uses
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction
from tokensvc.database.pending import PendingWrites

MINUTE = 60
"""Seconds; uses are dated by the minute."""


class SecretUsage(PendingWrites[str]):
    """Times of last use by secret ID."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, max)
        self._clock = clock

    def record(self, secret_id: str) -> None:
        """Record that a client authenticated with a secret."""
        now = int(self._clock())
        self._add(secret_id, now - now % MINUTE)

    def _write_rows(self, tx: Transaction, numbers: Mapping[str, int]) -> None:
        note_uses(tx, numbers)
