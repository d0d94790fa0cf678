"""Last use of client secrets: kept in memory by requests, written by a background loop."""

import threading

from tokensvc.clients.store import note_uses
from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database

MINUTE = 60
"""Seconds; uses are dated by the minute."""


class SecretUsage:
    """
    Times of last use that are not in the database yet, so that no request writes one.

    A crash loses them and nothing else.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._uses: dict[str, int] = {}

    def record(self, secret_id: str) -> None:
        """Record that a client authenticated with a secret."""
        now = int(self._clock())
        with self._lock:
            self._uses[secret_id] = now - now % MINUTE

    def write(self) -> None:
        """
        Write the times in one transaction. After a failure they stay for the next call.

        One thread at a time may call this.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._lock:
            uses = dict(self._uses)
        if not uses:
            return
        with self._database.write() as tx:
            note_uses(tx, uses)
        with self._lock:
            for secret_id, minute in uses.items():
                if self._uses[secret_id] == minute:  # not used again during the write
                    del self._uses[secret_id]
