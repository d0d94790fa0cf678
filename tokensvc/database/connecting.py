"""
The URL of the database, the pool of connections, and the wait for one of them.

While the server refuses another connection, a process waits until one that it has is idle.
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from tokensvc.core import deadline
from tokensvc.core.errors import StartupError
from tokensvc.database.failures import ExhaustedError, cause_of
from tokensvc.database.hosts import with_hosts_in_query

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
_POOL_SECONDS = 1.0
_OVERFLOW = 2
"""Connections beyond the pool, for a worker's background threads."""
_SECONDS = 5.0
"""Limit of a wait without a request."""
_PAUSES = (0.01, 0.25)
"""Seconds before the second attempt, and at most: an attempt costs the server a process."""
_ALLOWED = sa.text(
    "SELECT current_setting('max_connections')::int"
    " - current_setting('superuser_reserved_connections')::int"
)

T = TypeVar("T")


def parse_url(url: str) -> sa.URL:
    """
    Parse the URL of a database.

    Raises:
        StartupError: It is neither `sqlite:///path` nor `postgresql://…`.
    """
    try:
        parsed = sa.make_url(with_hosts_in_query(url))
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    # From None: the parser's message can contain the password.
    if parsed is None or parsed.drivername not in _DRIVERS:
        raise StartupError("database_url: write sqlite:///path or postgresql://…") from None
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


def make_engine(
    url: sa.URL, pool_size: int, connect_args: dict[str, Any], **options: Any
) -> sa.Engine:
    """Create the engine with its pool. The first use connects."""
    return sa.create_engine(
        url,
        connect_args=connect_args,
        hide_parameters=True,  # otherwise exceptions contain them
        max_overflow=_OVERFLOW,
        pool_reset_on_return=None,  # closing a connection has already ended its transaction
        pool_size=pool_size,
        pool_timeout=_POOL_SECONDS,
        pool_use_lifo=False,  # a place without a connection would hide one that is idle
        **options,
    )


def connect_patiently(connect: Callable[[], T]) -> T:
    """
    Return a connection. Wait for an idle one of this process while the server has no further one.

    Args:
        connect: Function that returns an idle connection, or else a new one.

    Raises:
        Exception: That of `connect`. A wait ends with the deadline of the request.
    """
    give_up_at = time.monotonic() + deadline.remaining(_SECONDS)
    pause, max_pause = _PAUSES
    while True:
        try:
            return connect()
        except Exception as error:
            left = give_up_at - time.monotonic()
            if left <= 0 or not isinstance(cause_of(error), ExhaustedError):
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, max_pause)


def allowed_connections(connection: sa.Connection) -> int:
    """Return the number of connections that PostgreSQL has for all its ordinary roles."""
    allowed: int = connection.execute(_ALLOWED).scalar_one()
    return allowed
