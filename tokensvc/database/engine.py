"""
Connections and transactions.

Driver connections are in autocommit and transactions are opened by statement, so that nothing
opens one unasked: a read inside a forgotten transaction would see an old standing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from tokensvc.core.errors import StartupError
from tokensvc.database import sqlite
from tokensvc.database.failures import is_unavailability, unavailable
from tokensvc.database.prepared import PreparedRead, ReadConnections

Dialect: TypeAlias = Literal["sqlite", "postgresql"]
Connection: TypeAlias = sa.Connection
Transaction: TypeAlias = sa.Connection
"""What `Database.read` and `Database.write` give. Stores are handed them and never commit."""

_POOL_SECONDS = 3.0
_OVERFLOW = 2
"""Connections beyond the pool, for a worker's background threads."""


class Database:
    """
    The database of this process. Opened after a fork, since connections cannot be shared.

    Every method raises `Refusal` `temporarily_unavailable` when the database fails.

    Attributes:
        dialect: Where stores must tell the two apart.
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
        Make a database's pool; the first use connects.

        Args:
            url: `sqlite:///path`, whose file and folder are made if need be, or `postgresql://…`.
            pool_size: Connections kept open, one for each thread that serves requests.

        Raises:
            StartupError: The URL is of neither kind, or its file cannot be written.
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
        from tokensvc.database import postgresql  # noqa: PLC0415 - spares SQLite the driver

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
        """Give a connection in autocommit: each statement sees what is committed by then."""
        with self._connection("SELECT 1") as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Give a connection whose statements all see the same moment. It writes nothing."""
        begin = "BEGIN" if self.dialect == "sqlite" else "BEGIN ISOLATION LEVEL REPEATABLE READ"
        with self._connection(begin) as connection:
            yield connection

    @contextmanager
    def write(self, *, keep: bool = True) -> Iterator[Transaction]:
        """
        Give one transaction: committed at the end of the block, undone by an exception.

        Args:
            keep: If not, the end of the block undoes it too: a rehearsal.
        """
        with self._connection(self._begin) as transaction:
            yield transaction
            if keep:
                transaction.commit()  # else closing the connection rolls back

    @contextmanager
    def migration(self) -> Iterator[sa.Connection]:
        """Give a transaction without limits of time that no other process' migration is in."""
        with self.write() as transaction:
            if self.dialect == "sqlite":
                yield transaction
                return
            from tokensvc.database import postgresql  # noqa: PLC0415 - as above

            with postgresql.migration_lock(transaction):
                yield transaction

    def prepare(self, statement: sa.Select[Any]) -> PreparedRead:
        """Compile a query once, to be run often."""
        return PreparedRead(self._engine.dialect, self._reads, statement)

    def close(self) -> None:
        """Close the connections that are not in use."""
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
        """Run the first statement, once more if it found the connection cut while it was idle."""
        try:
            return self._connect(first)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        return self._connect(first)

    def _connect(self, first: str) -> sa.Connection:
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
    # From None: the parser's message may quote the password.
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
        hide_parameters=True,  # else they stand in the text of exceptions
        max_overflow=_OVERFLOW,
        pool_reset_on_return=None,  # a closed connection has ended its transaction already
        pool_size=pool_size,
        pool_timeout=_POOL_SECONDS,
        pool_use_lifo=True,
        **options,
    )
