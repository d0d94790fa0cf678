"""Last use of client secrets: kept in memory by requests, written by a background loop."""

from tokensvc.clients.store import note_uses
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.database.pending import PendingWrites

MINUTE = 60
"""Seconds; uses are dated by the minute."""


def pending_uses(database: Database) -> PendingWrites[str]:
    """Return the times of last use, by secret ID, that are not written yet."""
    return PendingWrites(database, max, note_uses)


def record_use(uses: PendingWrites[str], clock: Clock, secret_id: str) -> None:
    """Record that a client authenticated with a secret."""
    now = int(clock())
    uses.add(secret_id, now - now % MINUTE)
