"""Purges that run to their end, at a later time."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge, purge_step
from tokensvc.database.engine import Database, Transaction


class LaterClock(DatabaseClock):
    """
    The clock of a database, ahead of it.

    Attributes:
        ahead: Seconds by which it is ahead.
    """

    ahead = 0.0

    def read(self, tx: Transaction) -> float:
        return super().read(tx) + self.ahead


def purge_all(database: Database, database_clock: DatabaseClock, purge: Purge) -> None:
    """Run the steps of a purge until nothing is left."""
    while purge_step(database, database_clock, purge):
        pass
