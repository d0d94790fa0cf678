"""Read rows and the current time in one statement."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.standing.rules import incomplete_database

_NOW = sa.cast(sa.extract("epoch", sa.func.now()), sa.Double)
"""Clock of PostgreSQL."""


def fetch_clocked(
    database: Database, clock: Clock, statement: sa.Select[Any], values: Mapping[str, object]
) -> tuple[list[tuple[Any, ...]], float]:
    """
    Return the rows of a query, and the time in epoch seconds. No change after it is in a row.

    Nothing is cached: each read that begins after an action sees it.

    Args:
        clock: Clock of this host, used on SQLite. On PostgreSQL the statement reads the server's.
        statement: Constant of a store that has a row in every complete database.
    """
    has_clock = database.dialect == "postgresql"
    # Read the clock before the statement: see `Standing.now`.
    now = clock()
    rows = database.fetch(_with_clock(statement) if has_clock else statement, values)
    if not rows:
        raise incomplete_database()
    return ([row[:-1] for row in rows], rows[0][-1]) if has_clock else (rows, now)


@cache
def _with_clock(statement: sa.Select[Any]) -> sa.Select[Any]:
    return statement.add_columns(_NOW)
