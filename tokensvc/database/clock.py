"""
The clock that dates acts: one for all instances.

On PostgreSQL the server's, so that instances whose clocks differ agree; on SQLite the host's, of
which there is one.
"""

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction

_EPOCH = sa.select(sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float))


class DatabaseClock:
    """
    Reads that clock.

    Args:
        host: Seconds since the epoch on this host.
    """

    def __init__(self, database: Database, host: Clock) -> None:
        self._database = database
        self._host = host
        self._is_host = database.dialect == "sqlite"

    def read(self, tx: Transaction) -> float:
        """
        Give the time now, in epoch seconds, in a statement of its own.

        `now()` would be as old as the transaction, and `clock_timestamp()` inside a statement that
        waits for a lock as old as the wait: so call this after the lock is held.
        """
        return self._host() if self._is_host else float(tx.scalar(_EPOCH) or 0.0)

    def __call__(self) -> float:
        """
        Give the time now, outside any transaction.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        if self._is_host:
            return self._host()
        with self._database.read() as connection:
            return self.read(connection)
