"""What tests see of a database besides its rows: the only file that uses its private parts."""

from typing import Any

import sqlalchemy as sa

from tokensvc.database.breaker import BreakerState
from tokensvc.database.engine import Database


def engine_of(database: Database) -> sa.Engine:
    """Return the engine of transactions."""
    return database._engine


def breaker_of(database: Database) -> BreakerState:
    """Return the state of the breaker of a PostgreSQL database."""
    return database._breaker.state


def idle_connections(database: Database) -> list[Any]:
    """Return the idle connections of statements outside transactions."""
    return database._statements._idle
