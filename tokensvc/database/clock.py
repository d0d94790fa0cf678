"""
The clock that dates actions: one for all instances.

On PostgreSQL the server's clock, so that instances with different clocks agree; on SQLite the clock
of the only host.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database, Transaction

_EPOCH = sa.select(sa.cast(sa.extract("epoch", sa.func.clock_timestamp()), sa.Float))


class DatabaseClock:
    """
    The clock of a database.

    Args:
        host: Clock of this host, used on SQLite.
    """

    def __init__(self, database: Database, host: Clock) -> None:
        self._database = database
        self._host = host
        self._is_host = database.dialect == "sqlite"

    def read(self, tx: Transaction) -> float:
        """
        Return the current time in epoch seconds, read in a statement of its own.

        Call it after the lock is held: `now()` is as old as the transaction, and
        `clock_timestamp()` in a statement that waits for a lock is as old as the wait.
        """
        return self._host() if self._is_host else float(tx.scalar(_EPOCH) or 0.0)

    def read_with(
        self, tx: Transaction, query: sa.Select[Any], values: Mapping[str, object]
    ) -> tuple[float, Any]:
        """
        Return the current time, as `read`, and the first row of a query, in one statement.

        The time is that of its start; 0.0 on PostgreSQL if it has no row, which is `None`.

        Args:
            query: Query that waits for no lock, built once.
            values: Values of its parameters.
        """
        if self._is_host:
            now = self._host()
            return now, tx.execute(query, values).first()
        row = tx.execute(_with_time(query), values).first()
        return (float(row[-1]), row) if row is not None else (0.0, None)

    def __call__(self) -> float:
        """
        Return the current time in epoch seconds, outside any transaction.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        if self._is_host:
            return self._host()
        with self._database.read() as connection:
            return self.read(connection)


@cache
def _with_time(query: sa.Select[Any]) -> sa.Select[Any]:
    seconds = sa.extract("epoch", sa.func.statement_timestamp())
    return query.add_columns(sa.cast(seconds, sa.Float))
