"""
Statements on the driver's own connections, for the hot paths.

SQLAlchemy compiles a statement once; its execution and its pool each cost several times as much as
a query. So the stores build a statement once, as a constant, and give it with the values of its
named parameters to `Database.fetch`, `Database.change`, or, in a transaction, to `run`. Values are
the driver's own, not converted by SQLAlchemy's types.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol, TypeAlias

import sqlalchemy as sa

from tokensvc.core.waiting import may_block
from tokensvc.database.breaker import Breaker
from tokensvc.database.connecting import connect_patiently
from tokensvc.database.failures import OverrunError, is_unavailability, unavailable
from tokensvc.database.lease import Lease
from tokensvc.database.read_times import ReadTimes

Values: TypeAlias = Mapping[str, object]
"""Values of named parameters."""
NO_VALUES: Values = {}
Rows: TypeAlias = list[tuple[Any, ...]]


class Compiled(NamedTuple):
    """
    A statement for one kind of database.

    Attributes:
        names: Names of its parameters, in the order of their numbers if the driver numbers them.
        constants: Values of parameters that the statement itself has.
    """

    sql: str
    names: Sequence[str]
    constants: Values


def compile_for(dialect: sa.Dialect, statement: sa.ClauseElement) -> Compiled:
    """Compile a statement. Drivers keep the result with the statement."""
    compiled: Any = statement.compile(dialect=dialect)
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Compiled(str(compiled), compiled.positiontup or (), constants)


class DriverConnection(Protocol):
    """A driver's connection, with what the engine needs. It is unusable after a failure."""

    def fetch(self, statement: sa.ClauseElement, values: Values) -> Rows:
        """Run a statement in the open transaction, or in autocommit. Return all its rows."""

    def change(self, statement: sa.UpdateBase, values: Values) -> Rows:
        """Run a statement as `Database.change`. Return all its rows."""

    def is_disconnected(self) -> bool:
        """Return whether the connection has lost its database."""

    def close(self) -> None:
        """Close the connection, which rolls back."""


class StatementConnections:
    """
    Driver connections for statements outside transactions, each used by one thread at a time.

    They stay open between uses, outside the engine's pool, so that they do not take the place of
    a transaction. Their number is that of threads that have used one simultaneously.

    Args:
        engine: Source of the connections, which are in autocommit.
        breaker: Breaker of the database.

    Attributes:
        lease: Lease of the process; `None` if reads need none.
    """

    __slots__ = ("_breaker", "_engine", "_error", "_idle", "_is_remote", "_times", "lease")

    def __init__(self, engine: sa.Engine, breaker: Breaker) -> None:
        self._breaker = breaker
        self._engine = engine
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._is_remote = engine.dialect.name == "postgresql"
        self._idle: list[DriverConnection] = []
        self._times = ReadTimes()
        self.lease: Lease | None = None

    def run(self, use: Callable[[DriverConnection], Rows], *, writes: bool) -> Rows:
        """
        Run statements on a connection. Repeat them once if it was disconnected.

        Args:
            use: Function of a connection that runs them, and returns rows.
            writes: Whether they can wait for another writer.
        """
        try:
            try:
                return self._run(use, writes=writes)
            except _ConnectionCut:
                return self._run(use, writes=writes)
        except (self._error, sa.exc.TimeoutError) as error:
            self._breaker.fail(error)
            if is_unavailability(error):
                raise unavailable(error) from error
            raise
        except _ConnectionCut as cut:
            self._breaker.fail(cut.error)
            raise unavailable(cut.error) from cut.error

    def close(self) -> None:
        """Close the idle connections, and those of the engine."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
        self._engine.dispose()

    def _run(self, use: Callable[[DriverConnection], Rows], *, writes: bool) -> Rows:
        begun_at = None
        if self._is_remote or writes:
            self._breaker.admit()
            if self.lease is not None:
                self.lease.check()
            now = monotonic()
            if not writes and self._idle and self._times.keeps_lead(now):
                begun_at = now
            else:
                may_block()
        connection = self._take_idle() or connect_patiently(self._take)
        try:
            # All rows: an open cursor keeps a read transaction open on SQLite.
            rows = use(connection)
        except BaseException as error:
            had_died = connection.is_disconnected()
            connection.close()  # its state is unknown
            if not (had_died and isinstance(error, self._error)) or isinstance(error, OverrunError):
                raise
            # The cause has probably disconnected all idle connections.
            self.close()
            raise _ConnectionCut(error) from error
        finally:
            if begun_at is not None:
                self._times.record(begun_at, monotonic())
        self._idle.append(connection)
        self._breaker.succeed()
        if self.lease is not None and not writes:
            self.lease.check()  # after the read: it may have waited
        return rows

    def pop_idle(self) -> DriverConnection | None:
        """Return an idle connection for a transaction, or `None`."""
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _take_idle(self) -> DriverConnection | None:
        """Return the connection used last; `None` if no idle one is connected."""
        idle = self.pop_idle()
        if idle is None or not idle.is_disconnected():
            return idle
        idle.close()
        self.close()
        return None

    def _take(self) -> DriverConnection:
        """Return an idle connection, or a new one."""
        idle = self._take_idle()
        if idle is not None:
            return idle
        pooled = self._engine.raw_connection()
        pooled.detach()
        driver: Any = pooled.dbapi_connection
        connection: DriverConnection = driver
        return connection


def run(connection: sa.Connection, statement: sa.ClauseElement, values: Values = NO_VALUES) -> Rows:
    """
    Run a statement as `Database.fetch` does, on a connection or in a transaction.

    It costs a third of `connection.execute`, which stores use for all else. On PostgreSQL a change
    without `RETURNING` runs with the next statement or the commit, which then raises its error.
    """
    driver: Any = connection.connection.dbapi_connection
    used: DriverConnection = driver
    try:
        return used.fetch(statement, values)
    except Exception as error:
        if used.is_disconnected():
            connection.invalidate(error)
        raise


class _ConnectionCut(Exception):
    """
    The connection was closed, usually before the statements reached the server.

    It may also have been closed after a commit, whose confirmation is lost then.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
