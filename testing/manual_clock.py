"""A clock that a test moves."""

from fractions import Fraction
from typing import Any


class ManualClock:
    """
    A clock whose time changes only when a test sets it.

    It also takes the place of a database's clock, so that PostgreSQL has the time of the test.

    Attributes:
        now: Seconds, of the epoch or of a monotonic clock.
        host: This clock, as a database's clock has that of its host.
    """

    def __init__(self, now: float | Fraction = 1_800_000_000.0) -> None:
        self.now: Any = now
        self.host = self

    def __call__(self) -> Any:
        return self.now

    def read(self, _tx: object) -> Any:
        """Return the time as a database's clock does in a transaction."""
        return self.now
