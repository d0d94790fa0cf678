"""A clock that a test moves."""

from fractions import Fraction
from typing import Any

import sqlalchemy as sa


class ManualClock:
    """
    A clock whose time changes only when a test sets it.

    It also takes the place of a database's clock, so that PostgreSQL has the time of the test.

    Attributes:
        now: Seconds, of the epoch or of a monotonic clock.
    """

    def __init__(self, now: float | Fraction = 1_800_000_000.0) -> None:
        self.now: Any = now

    def __call__(self) -> Any:
        return self.now

    def read(self, _tx: object) -> Any:
        """Return the time as a database's clock does in a transaction."""
        return self.now

    def read_with(self, tx: sa.Connection, query: sa.Select[Any], values: Any) -> tuple[Any, Any]:
        """Return the time and the first row of a query, as a database's clock does."""
        return self.now, tx.execute(query, values).first()
