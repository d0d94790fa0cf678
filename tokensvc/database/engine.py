"""
Connections and transactions.

Driver connections are in autocommit, and transactions are opened by statements. So no transaction
is opened implicitly: a read inside a forgotten one would see an old standing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, Protocol, TypeAlias

import sqlalchemy as sa

from tokensvc.core.errors import Refusal
from tokensvc.core.waiting import may_block
from tokensvc.database import sqlite
from tokensvc.database.breaker import Breaker
from tokensvc.database.connecting import connect_patiently, make_engine, parse_url
from tokensvc.database.failures import OverrunError, is_unavailability, unavailable
from tokensvc.database.lease import Lease
from tokensvc.database.servers import Servers
from tokensvc.database.statements import NO_VALUES, Rows, StatementConnections, Values
from tokensvc.telemetry import metrics

Connection: TypeAlias = sa.Connection
Transaction: TypeAlias = sa.Connection
"""Connection of `Database.write`. Stores take it as an argument and never commit."""

_AFTER_COMMIT = "tokensvc_after_commit"
"""Member of a transaction's `info`: functions that `Database.write` calls after the commit."""

_DURABLE_MESSAGE = "SELECT pg_logical_emit_message(true, 'tokensvc', 'lease')"
"""Needs no table: some bytes of WAL, which no one decodes."""


class _Driver(Protocol):
    """What the module of each kind of database has."""

    def begin(self, connection: sa.Connection) -> None:
        """Begin a transaction that writes."""

    def begin_snapshot(self, connection: sa.Connection) -> None:
        """Begin a transaction that only reads."""

    def is_connection_failure(self, error: BaseException) -> bool:
        """Return whether an error of the driver counts for the breaker."""


class Database:
    """
    The database of this process. Open it after a fork: processes cannot share connections.

    Every method raises `Refusal` `temporarily_unavailable` if the database fails. So does every
    function that uses one, and each read of rows that only an incomplete database lacks: other
    docstrings name this code only for another cause.

    Attributes:
        dialect: Name of the dialect, for stores whose statements differ.
        look: Function that finds a server that has become the primary; `None` with SQLite.
    """

    def __init__(
        self, engine: sa.Engine, dialect: Literal["sqlite", "postgresql"], driver: _Driver
    ) -> None:
        self.dialect = dialect
        self._engine = engine
        self._driver = driver
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._breaker = Breaker(driver.is_connection_failure, self._probe, self._disconnect)
        self._statements = StatementConnections(engine, self._breaker)
        self._servers = Servers()
        self._lease: Lease | None = None
        self._turns: AbstractContextManager[None] = (
            sqlite.Turns() if dialect == "sqlite" else nullcontext()
        )
        self.look: Callable[[], None] | None = None

    @classmethod
    def open(cls, url: str, *, pool_size: int, creates: bool = True) -> "Database":
        """
        Create the pool. The first use connects.

        Args:
            url: `sqlite:///path` or `postgresql://…`.
            pool_size: Number of connections, one for each thread that serves requests.
            creates: Whether to create the SQLite file and its folder if they are missing.

        Raises:
            StartupError: The URL is neither, or its file cannot be written.
        """
        parsed = parse_url(url)
        if parsed.get_backend_name() == "sqlite":
            if creates:
                sqlite.make_private_file(parsed)
            return cls._open_sqlite(parsed, pool_size)
        return cls._open_postgresql(parsed, pool_size)

    @classmethod
    def _open_sqlite(cls, url: sa.URL, pool_size: int) -> "Database":
        engine = make_engine(url, pool_size, sqlite.connect_args(), paramstyle="named")
        sa.event.listen(engine, "do_connect", sqlite.connect)
        sa.event.listen(engine, "connect", sqlite.prepare_connection)
        return cls(engine, "sqlite", sqlite)

    @classmethod
    def _open_postgresql(cls, url: sa.URL, pool_size: int) -> "Database":
        # SQLite needs no driver of 10 MB.
        from tokensvc.database import postgresql  # noqa: PLC0415

        arguments = postgresql.connect_args(url)
        engine = make_engine(url, pool_size, arguments, use_native_hstore=False)
        database = cls(engine, "postgresql", postgresql)
        hosts = postgresql.hosts_of(engine, arguments, database._servers)
        database.look = hosts.look
        connect = postgresql.connector(hosts, database._statements.pop_idle)
        sa.event.listen(engine, "do_connect", connect)
        return database

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection in autocommit: each statement sees everything committed before it."""
        with self._connection(_ping) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Yield a read-only connection whose statements all see the same moment."""
        with self._connection(self._driver.begin_snapshot) as connection:
            yield connection

    @contextmanager
    def write(self, *, dry_run: bool = False) -> Iterator[Transaction]:
        """
        Yield a transaction, committed at the end of the block and rolled back by an exception.

        Args:
            dry_run: Whether to roll back at the end of the block too.
        """
        with self._turns, self._connection(self._driver.begin) as transaction:
            calls = transaction.info[_AFTER_COMMIT] = []
            yield transaction
            if not dry_run:
                transaction.commit()  # otherwise closing the connection rolls back
                for call in calls:
                    call()

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

    def fetch(self, statement: sa.ClauseElement, values: Values = NO_VALUES) -> Rows:
        """
        Run a query outside any transaction, and return all its rows.

        Args:
            statement: Constant of a store, because it is compiled once and kept.
        """
        return self._statements.run(
            lambda connection: connection.fetch(statement, values), writes=False
        )

    def change(self, statement: sa.UpdateBase, values: Values) -> Rows:
        """
        Run a statement in a transaction of its own, and return the rows that it returns.

        It may run twice if the connection is cut: the second time must change nothing more.

        Args:
            statement: Constant of a store, as for `fetch`. An update is durable when it returns,
                another statement when a later commit is.
        """
        with self._turns:
            return self._statements.run(
                lambda connection: connection.change(statement, values), writes=True
            )

    @property
    def is_breaker_open(self) -> bool:
        """Whether every use is refused until the database responds again."""
        return self._breaker.state.is_open

    @property
    def two_primaries(self) -> str | None:
        """Why a second server accepts writes; `None` if none does."""
        return self._servers.problem

    def connections_in_use(self) -> int:
        """Return the number of connections in use, without those of prepared statements."""
        pool: Any = self._engine.pool
        in_use: int = pool.checkedout()
        return in_use

    def begin_lease(self, seconds: float) -> None:
        """Let reads count only that long after a commit; 0 and SQLite need none."""
        if seconds and self.dialect == "postgresql":
            self._lease = self._statements.lease = Lease(seconds)
            self.renew_lease()

    @property
    def has_lease(self) -> bool:
        """Whether reads count only for some time after a commit."""
        return self._lease is not None

    def renew_lease(self) -> None:
        """Make a small durable commit. If it fails, the lease ends in its time."""
        began_at = time.monotonic()
        try:
            with self._connect_with_retry(self._driver.begin) as tx:
                tx.exec_driver_sql(_DURABLE_MESSAGE)
                connection: Any = tx.connection.dbapi_connection
                tx.commit()
        except Refusal:
            return
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, self._error) as error:
            self._breaker.fail(error)
            return
        if self._lease is not None:
            self._lease.renew(connection.server, began_at)

    def close(self) -> None:
        """Close the idle connections."""
        self._breaker.stop()
        self._statements.close()

    @contextmanager
    def _connection(self, begin: Callable[[sa.Connection], None]) -> Iterator[sa.Connection]:
        if self._lease is not None:
            self._lease.check()
        try:
            with self._connect_with_retry(begin) as connection:
                self._breaker.succeed()
                yield connection
        except (sa.exc.DBAPIError, sa.exc.TimeoutError, self._error) as error:
            self._breaker.fail(error)
            if is_unavailability(error):
                raise unavailable(error) from error
            raise

    def _connect_with_retry(self, begin: Callable[[sa.Connection], None]) -> sa.Connection:
        """Begin on a connection; retry once if the idle one was disconnected."""
        if self.dialect == "postgresql" or begin is self._driver.begin:
            self._breaker.admit()
            may_block()
        try:
            return self._connect_and_begin(begin)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated or isinstance(error.orig, OverrunError):
                raise
        self._disconnect()  # the cause has probably disconnected all idle connections
        return self._connect_and_begin(begin)

    def _connect_and_begin(self, begin: Callable[[sa.Connection], None]) -> sa.Connection:
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
        with self._connect_and_begin(_ping):
            pass


def after_commit(tx: Transaction, call: Callable[[], object]) -> None:
    """Call a function after the commit of a transaction: not of a dry run, nor after a failure."""
    calls: list[Callable[[], object]] = tx.info[_AFTER_COMMIT]
    calls.append(call)


def _ping(connection: sa.Connection) -> None:
    """Use the connection: the server may have disconnected it while it was idle."""
    connection.exec_driver_sql("SELECT 1")
