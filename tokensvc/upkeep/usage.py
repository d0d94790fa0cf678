"""
What was used since the last time that somebody looked, in this process' memory.

Raised in the middle of requests, so that no request writes to the database for the sake of a
figure. What was not written yet is lost in a crash, and nothing but that.
"""

import threading
from dataclasses import dataclass

from tokensvc.core.clock import Clock
from tokensvc.keys.store import HOUR

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Figures:
    """
    What was used.

    Attributes:
        secrets: The minute of the latest use, epoch seconds at its beginning, by the secret's id.
        unnamed_mints: Mints that named no Stream key, by the hour, epoch seconds at its beginning.
    """

    secrets: dict[str, int]
    unnamed_mints: dict[int, int]

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.secrets or self.unnamed_mints)


class Usage:
    """
    Counts; from any thread.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._figures = Figures({}, {})

    def secret_used(self, secret_id: str) -> None:
        """Note that a client has just authenticated with a secret."""
        now = int(self._clock())
        with self._lock:
            self._figures.secrets[secret_id] = now - now % MINUTE

    def minted_unnamed(self) -> None:
        """Count a mint for a client that did not say which Stream key it was built with."""
        now = int(self._clock())
        hour = now - now % HOUR
        with self._lock:
            counts = self._figures.unnamed_mints
            counts[hour] = counts.get(hour, 0) + 1

    def take(self) -> Figures:
        """Give the figures, and begin anew."""
        with self._lock:
            taken, self._figures = self._figures, Figures({}, {})
        return taken

    def put_back(self, figures: Figures) -> None:
        """Add figures that could not be written to those that have come since."""
        with self._lock:
            secrets, counts = self._figures.secrets, self._figures.unnamed_mints
            for secret_id, minute in figures.secrets.items():
                secrets[secret_id] = max(minute, secrets.get(secret_id, 0))
            for hour, count in figures.unnamed_mints.items():
                counts[hour] = counts.get(hour, 0) + count
