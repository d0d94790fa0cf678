"""
Connections and transactions.

Driver connections are in autocommit, and transactions are opened by statements. So no transaction
is opened implicitly: a read inside a forgotten one would see an old standing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import sqlalchemy as sa

from tokensvc.core.blocking import may_block
from tokensvc.core.errors import StartupError
from tokensvc.database import sqlite
from tokensvc.database.backend import Backend, Begin
from tokensvc.database.breaker import Breaker
from tokensvc.database.failures import (
    ExhaustedError,
    OverrunError,
    is_unavailability,
    unavailable,
)
from tokensvc.database.patience import connect_patiently
from tokensvc.database.prepared import (
    PreparedStatements,
    Run,
    StatementConnections,
    insert_after,
)
from tokensvc.telemetry import metrics

Connection: TypeAlias = sa.Connection
Transaction: TypeAlias = sa.Connection
"""Connection of `Database.write`. Stores take it as an argument and never commit."""

Change: TypeAlias = Callable[[Mapping[str, object], Mapping[str, object]], bool]
"""Runs a prepared change with values for the update and the insert; returns whether it changed."""

_POOL_SECONDS = 1.0
_OVERFLOW = 2
"""Connections beyond the pool, for a worker's background threads."""


class Database:
    """
    The database of this process. Open it after a fork: processes cannot share connections.

    Every method raises `Refusal` `temporarily_unavailable` if the database fails.

    Attributes:
        dialect: Name of the dialect, for stores whose statements differ.
    """

    def __init__(self, engine: sa.Engine, backend: Backend) -> None:
        self.dialect = backend.dialect
        self._engine = engine
        self._backend = backend
        self._breaker = Breaker(backend.is_connection_failure, self._probe, self._disconnect)
        self._statements = StatementConnections(engine, backend.is_disconnected, self._breaker)

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
        sa.event.listen(engine, "do_connect", sqlite.connect)
        sa.event.listen(engine, "connect", sqlite.prepare_connection)
        return cls(engine, Backend.of("sqlite", sqlite, sqlite))

    @classmethod
    def _open_postgresql(cls, url: sa.URL, pool_size: int) -> "Database":
        # SQLite needs no driver of 10 MB.
        from tokensvc.database import postgresql, server_statements  # noqa: PLC0415

        engine = _make_engine(url, pool_size, postgresql.connect_args(url), use_native_hstore=False)
        database = cls(engine, Backend.of("postgresql", postgresql, server_statements))

        def connect(*arguments: Any) -> Any:
            try:
                return postgresql.connect(*arguments)
            except ExhaustedError:
                idle = database._statements.pop_idle()
                if idle is None:
                    raise
                return idle

        sa.event.listen(engine, "do_connect", connect)
        return database

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection in autocommit: each statement sees everything committed before it."""
        with self._connection(_begin_nothing) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Yield a read-only connection whose statements all see the same moment."""
        with self._connection(self._backend.begin_snapshot) as connection:
            yield connection

    @contextmanager
    def write(self, *, dry_run: bool = False) -> Iterator[Transaction]:
        """
        Yield a transaction, committed at the end of the block and rolled back by an exception.

        Args:
            dry_run: Whether to roll back at the end of the block too.
        """
        with self._connection(self._backend.begin) as transaction:
            yield transaction
            if not dry_run:
                transaction.commit()  # otherwise closing the connection rolls back

    @contextmanager
    def migration(self, *, dry_run: bool = False) -> Iterator[sa.Connection]:
        """Yield a transaction without timeouts; only one process at a time can have it."""
        with self.write(dry_run=dry_run) as transaction:
            if self.dialect == "sqlite":
                yield transaction
                return
            from tokensvc.database import postgresql  # noqa: PLC0415 - as above

            with postgresql.migration_lock(transaction):
                yield transaction

    def prepare(
        self, statement: sa.Select[Any] | sa.CompoundSelect[Any], *, private: bool = False
    ) -> PreparedStatements:
        """
        Compile a query once for repeated use.

        Args:
            private: Whether a value may be a secret that a user typed. Then PostgreSQL gets the
                values apart from the text, which it shows and logs.
        """
        run = self._backend.fetch_private_rows if private else self._backend.fetch_rows
        return self._prepared([statement], run)

    def prepare_change(self, update: sa.Update, table: sa.Table) -> Change:
        """
        Compile an update, and an insert that takes place only if the update changes a row.

        The change is a transaction of its own. It may run twice if the connection is cut, so the
        update must be a compare-and-swap.

        Args:
            update: Update with named parameters.
            table: Table of the insert, whose columns are its parameters. No name may be that of a
                parameter of the update.
        """
        if self.dialect == "sqlite":
            prepared = self._prepared([update, table.insert()], sqlite.run_change, writes=True)
        else:
            prepared = self.prepare_writes(insert_after(update, table))
        return lambda values, row_values: bool(prepared.fetch_all({**values, **row_values}))

    def prepare_writes(
        self, *statements: sa.UpdateBase, durable: bool = True
    ) -> PreparedStatements:
        """
        Compile statements that are a transaction of their own; the result is that of the last.

        They may run twice if the connection is cut: the second time must change nothing more.

        Args:
            statements: Statements with named parameters, the same value for all that have a name.
            durable: Whether a commit waits for the disk. One that does not is there with the next
                one that does; a crash of the server before that loses it.
        """
        run = self._backend.run_writes if durable else self._backend.run_early_writes
        return self._prepared(statements, run, writes=True)

    def _prepared(
        self, statements: Sequence[sa.ClauseElement], run: Run, *, writes: bool = False
    ) -> PreparedStatements:
        dialect = self._engine.dialect
        return PreparedStatements(dialect, self._statements, statements, run, writes=writes)

    @property
    def is_breaker_open(self) -> bool:
        """Whether every use is refused until the database responds again."""
        return self._breaker.state.is_open

    def connections_in_use(self) -> int:
        """Return the number of connections in use, without those of prepared statements."""
        pool: Any = self._engine.pool
        in_use: int = pool.checkedout()
        return in_use

    def close(self) -> None:
        """Close the idle connections."""
        self._breaker.stop()
        self._statements.close()

    @contextmanager
    def _connection(self, begin: Begin) -> Iterator[sa.Connection]:
        try:
            with self._live_connection(begin) as connection:
                self._breaker.succeed()
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            self._breaker.fail(error)
            if is_unavailability(error):
                raise unavailable(error) from error
            raise

    def _live_connection(self, begin: Begin) -> sa.Connection:
        """Begin on a connection; retry once if the idle one was disconnected."""
        if self.dialect == "postgresql" or begin is self._backend.begin:
            self._breaker.admit()
            may_block()
        try:
            return self._begun(begin)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or isinstance(error.orig, OverrunError):
                raise
        self._disconnect()  # the cause has probably disconnected all idle connections
        return self._begun(begin)

    def _begun(self, begin: Begin) -> sa.Connection:
        start = time.monotonic()
        connection = connect_patiently(self._engine.connect)
        metrics.observe_pool(time.monotonic() - start)
        try:
            begin(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        self._statements.close()

    def _probe(self) -> None:
        with self._begun(_begin_nothing):
            pass


def _begin_nothing(connection: sa.Connection) -> None:
    """Use the connection: the server may have disconnected it while it was idle."""
    connection.exec_driver_sql("SELECT 1")


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
        pool_use_lifo=False,  # a place without a connection would hide one that is idle
        **options,
    )
