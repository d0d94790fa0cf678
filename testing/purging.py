"""Purges that run to their end, at a later time."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge
from tokensvc.database.engine import Transaction


class LaterClock(DatabaseClock):
    """
    The clock of a database, ahead of it.

    Attributes:
        ahead: Seconds by which it is ahead.
    """

    ahead = 0.0

    def read(self, tx: Transaction) -> float:
        return super().read(tx) + self.ahead


def purge_all(purge: Purge) -> None:
    """Run the steps of a purge until nothing is left."""
    while purge.step():
        pass
