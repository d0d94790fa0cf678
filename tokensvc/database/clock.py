"""
The clock that dates actions: one for all instances.

On PostgreSQL the server's clock, so that instances with different clocks agree; on SQLite the clock
of the only host.
"""

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction

_EPOCH = sa.select(sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float))


class DatabaseClock:
    """
    The clock of a database.

    Attributes:
        host: Clock of this host; on SQLite also the database's.
    """

    def __init__(self, database: Database, host: Clock) -> None:
        self._database = database
        self.host = host
        self._is_host = database.dialect == "sqlite"

    def read(self, tx: Transaction) -> float:
        """
        Return the current time in epoch seconds, read in a statement of its own.

        Call it after the lock is held: `now()` is as old as the transaction, and
        `clock_timestamp()` in a statement that waits for a lock is as old as the wait.
        """
        return self.host() if self._is_host else float(tx.scalar(_EPOCH) or 0.0)

    def host_ahead(self) -> float:
        """
        Return by how many seconds this host's clock is at least ahead of the database's.

        Negative if it is behind; always 0 on SQLite.
        """
        before, now, after = self.host(), self(), self.host()
        return max(0.0, before - now) + min(0.0, after - now)

    def __call__(self) -> float:
        """Return the current time in epoch seconds, outside any transaction."""
        if self._is_host:
            return self.host()
        with self._database.read() as connection:
            return self.read(connection)
