"""
Connections and transactions.

Driver connections are in autocommit, and transactions are opened by statements. So no transaction
is opened implicitly: a read inside a forgotten one would see an old standing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from tokensvc.core.blocking import may_block
from tokensvc.core.errors import StartupError
from tokensvc.database import sqlite
from tokensvc.database.failures import is_unavailability, unavailable
from tokensvc.database.prepared import PreparedRead, ReadConnections

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Connection: TypeAlias = sa.Connection
Transaction: TypeAlias = sa.Connection
"""Connection of `Database.write`. Stores take it as an argument and never commit."""

_POOL_SECONDS = 3.0
_OVERFLOW = 2
"""Connections beyond the pool, for a worker's background threads."""


class Database:
    """
    The database of this process. Open it after a fork: processes cannot share connections.

    Every method raises `Refusal` `temporarily_unavailable` if the database fails.

    Attributes:
        dialect: Name of the dialect, for stores whose statements differ.
    """

    def __init__(
        self,
        engine: sa.Engine,
        *,
        dialect: Dialect,
        begin: str,
        is_disconnected: Callable[[Any], bool],
    ) -> None:
        self.dialect = dialect
        self._engine = engine
        self._begin = begin
        self._reads = ReadConnections(engine, is_disconnected)

    @classmethod
    def open(cls, url: str, *, pool_size: int) -> "Database":
        """
        Create the pool. The first use connects.

        Args:
            url: `sqlite:///path`, whose file and folder are created if missing, or
                `postgresql://…`.
            pool_size: Number of connections, one for each thread that serves requests.

        Raises:
            StartupError: The URL is neither, or its file cannot be written.
        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            return cls._open_sqlite(parsed, pool_size)
        return cls._open_postgresql(parsed, pool_size)

    @classmethod
    def _open_sqlite(cls, url: sa.URL, pool_size: int) -> "Database":
        sqlite.make_private_file(url)
        engine = _make_engine(url, pool_size, sqlite.connect_args(), paramstyle="named")
        sa.event.listen(engine, "connect", sqlite.prepare_connection)
        return cls(
            engine, dialect="sqlite", begin=sqlite.BEGIN, is_disconnected=sqlite.is_disconnected
        )

    @classmethod
    def _open_postgresql(cls, url: sa.URL, pool_size: int) -> "Database":
        from tokensvc.database import postgresql  # noqa: PLC0415 - SQLite needs no driver of 10 MB

        engine = _make_engine(url, pool_size, postgresql.connect_args(url), use_native_hstore=False)
        sa.event.listen(engine, "do_connect", postgresql.connect)
        sa.event.listen(engine, "connect", postgresql.prepare_connection)
        return cls(
            engine,
            dialect="postgresql",
            begin=postgresql.BEGIN,
            is_disconnected=postgresql.is_disconnected,
        )

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection in autocommit: each statement sees everything committed before it."""
        with self._connection("SELECT 1") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Yield a read-only connection whose statements all see the same moment."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ"
        with self._connection(begin) as connection:
            yield connection

    @contextmanager
    def write(self, *, dry_run: bool = False) -> Iterator[Transaction]:
        """
        Yield a transaction, committed at the end of the block and rolled back by an exception.

        Args:
            dry_run: Whether to roll back at the end of the block too.
        """
        with self._connection(self._begin) as transaction:
            yield transaction
            if not dry_run:
                transaction.commit()  # otherwise closing the connection rolls back

    @contextmanager
    def migration(self) -> Iterator[sa.Connection]:
        """Yield a transaction without timeouts; only one process at a time can have it."""
        with self.write() as transaction:
            if self.dialect == "sqlite":
                yield transaction
                return
            from tokensvc.database import postgresql  # noqa: PLC0415 - as above

            with postgresql.migration_lock(transaction):
                yield transaction

    def prepare(self, statement: sa.Select[Any]) -> PreparedRead:
        """Compile a query once for repeated use."""
        return PreparedRead(self._engine.dialect, self._reads, statement)

    def close(self) -> None:
        """Close the idle connections."""
        self._reads.close()

    @contextmanager
    def _connection(self, first: str) -> Iterator[sa.Connection]:
        try:
            with self._live_connection(first) as connection:
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            if is_unavailability(error):
                raise unavailable(error) from error
            raise

    def _live_connection(self, first: str) -> sa.Connection:
        """Run the first statement; retry once if the idle connection was disconnected."""
        try:
            return self._connect(first)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._connect(first)

    def _connect(self, first: str) -> sa.Connection:
        if self.dialect == "postgresql" or first == self._begin:
            may_block()
        connection = self._engine.connect()
        try:
            connection.exec_driver_sql(first)
        except BaseException:
            connection.close()
            raise
        return connection


def _parse(url: str) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        parsed = None
    # From None: the parser's message can contain the password.
    if parsed is None or parsed.drivername not in _DRIVERS:
        raise StartupError("database_url: write sqlite:///path or postgresql://…") from None
    return parsed.set(drivername=_DRIVERS[parsed.drivername])


_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def _make_engine(
    url: sa.URL, pool_size: int, connect_args: dict[str, Any], **options: Any
) -> sa.Engine:
    return sa.create_engine(
        url,
        connect_args=connect_args,
        hide_parameters=True,  # otherwise exceptions contain them
        max_overflow=_OVERFLOW,
        pool_reset_on_return=None,  # closing a connection has already ended its transaction
        pool_size=pool_size,
        pool_timeout=_POOL_SECONDS,
        pool_use_lifo=True,
        **options,
    )
