"""A read of current rows together with the clock that dates them."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.standing.ring_versions import incomplete_database

_NOW = sa.cast(sa.extract("epoch", sa.func.now()), sa.Double)
"""Clock of PostgreSQL."""


class ClockedRead:
    """
    Reads the rows of a query, and the time.

    Nothing is cached: each read that begins after an action sees it.

    Args:
        statement: Query with named parameters that has a row in every complete database.
        clock: Clock of this host, used on SQLite. On PostgreSQL the statement reads the server's
            clock.
    """

    def __init__(self, database: Database, clock: Clock, statement: sa.Select[Any]) -> None:
        self._clock = clock
        self._has_clock = database.dialect == "postgresql"
        self._database = database
        self._query = statement.add_columns(_NOW) if self._has_clock else statement

    def fetch(self, values: Mapping[str, object]) -> tuple[tuple[Any, ...], float]:
        """
        Return the first row and the time, as `fetch_all`.

        Raises:
            Refusal: As `fetch_all`.
        """
        rows, now = self.fetch_all(values)
        return rows[0], now

    def fetch_all(self, values: Mapping[str, object]) -> tuple[list[tuple[Any, ...]], float]:
        """
        Return the rows and the time in epoch seconds. No change after that time is in a row.

        Raises:
            Refusal: `temporarily_unavailable`, also if the database is incomplete.
        """
        # Read the clock before the statement: see `Standing.now`.
        now = self._clock()
        rows = self._database.fetch(self._query, values)
        if not rows:
            raise incomplete_database()
        return ([row[:-1] for row in rows], rows[0][-1]) if self._has_clock else (rows, now)
