"""
Statements compiled once and run on the driver's own connection, for the hot paths.

SQLAlchemy's execution and its pool each cost several times as much as the query.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import sqlalchemy as sa

from tokensvc.core.blocking import may_block
from tokensvc.database import sqlite
from tokensvc.database.breaker import Breaker
from tokensvc.database.failures import OverrunError, is_unavailability, unavailable
from tokensvc.database.patience import connect_patiently


class StatementConnections:
    """
    Driver connections for prepared statements, each used by one thread at a time.

    They stay open between uses, outside the engine's pool, so that they do not take the place of
    a transaction. Their number is that of threads that have used one simultaneously.

    Args:
        engine: Source of the connections, which are in autocommit.
        is_disconnected: Function that returns whether a connection was disconnected before use.
        breaker: Breaker of the database.
    """

    __slots__ = ("_engine", "_idle", "_is_remote", "breaker", "give_back", "is_disconnected")

    def __init__(
        self, engine: sa.Engine, is_disconnected: Callable[[Any], bool], breaker: Breaker
    ) -> None:
        self.breaker = breaker
        self._engine = engine
        self._is_remote = engine.dialect.name == "postgresql"
        self._idle: list[Any] = []
        self.give_back = self._idle.append
        self.is_disconnected = is_disconnected

    def take(self, *, writes: bool) -> Any:
        """
        Return the connection used last, or a new one. Call `give_back` or close it.

        Args:
            writes: Whether its use can wait for another writer.
        """
        if self._is_remote or writes:
            self.breaker.admit()
            may_block()
        try:
            connection = self._idle.pop()
        except IndexError:
            return connect_patiently(self._new)
        if self._is_remote or not sqlite.has_moved(connection):
            return connection
        connection.close()
        self.close()
        return self._new()

    def pop_idle(self) -> Any:
        """Return an idle connection for a transaction, or `None`."""
        with suppress(IndexError):
            return self._idle.pop()
        return None

    def _new(self) -> Any:
        pooled = self._engine.raw_connection()
        pooled.detach()
        return pooled.dbapi_connection

    def close(self) -> None:
        """Close the idle connections, and those of the engine."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
        self._engine.dispose()


Rows: TypeAlias = list[tuple[Any, ...]]
Run: TypeAlias = Callable[[Any, Sequence[str], Mapping[str, object]], Rows]
"""Runs SQL statements on a driver's connection, and returns all rows of the last one."""


class PreparedStatements:
    """
    A query that runs outside any transaction, or several statements, if `run` opens one.

    They are compiled at their first use: a command uses few of the queries of the services it
    builds. Values are the driver's own, not converted by SQLAlchemy's types.

    Args:
        dialect: Dialect of the engine.
        connections: Connections that run the query.
        statements: Statements with named parameters, the same value for all that have a name. They
            may run twice if the connection is cut.
        run: Function that runs them.
        writes: Whether they change rows.
    """

    __slots__ = (
        *("_compiled", "_connections", "_dialect", "_error", "_run_sqls", "_statements"),
        "_writes",
    )

    def __init__(
        self,
        dialect: sa.Dialect,
        connections: StatementConnections,
        statements: Sequence[sa.ClauseElement],
        run: Run,
        *,
        writes: bool,
    ) -> None:
        self._connections = connections
        self._run_sqls = run
        self._error: type[Exception] = dialect.loaded_dbapi.Error
        self._dialect = dialect
        self._statements = statements
        self._writes = writes
        self._compiled: tuple[Sequence[str], dict[str, object]] | None = None

    def compile(self) -> tuple[Sequence[str], dict[str, object]]:
        """Return the SQL and its constants by name. Two threads may compile simultaneously."""
        compiled = [statement.compile(dialect=self._dialect) for statement in self._statements]
        constants: dict[str, object] = {}
        for one in compiled:
            for name, value in one.params.items():
                if value is not None and constants.setdefault(name, value) != value:
                    raise ValueError(f"two statements have different values of {name}")
        self._compiled = [str(one) for one in compiled], constants
        return self._compiled

    def fetch(self, params: Mapping[str, object]) -> tuple[Any, ...] | None:
        """
        Return the first row, or `None`.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self.fetch_all(params)
        return rows[0] if rows else None

    def fetch_all(self, params: Mapping[str, object]) -> Rows:
        """
        Return all rows. Retry once on a new connection if the idle one was disconnected.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        sqls, constants = self._compiled or self.compile()
        values = {**constants, **params}
        try:
            try:
                return self._run(sqls, values)
            except _ConnectionCut:
                return self._run(sqls, values)
        except (self._error, sa.exc.TimeoutError) as error:
            self._connections.breaker.fail(error)
            if is_unavailability(error):
                raise unavailable(error) from error
            raise
        except _ConnectionCut as cut:
            self._connections.breaker.fail(cut.error)
            raise unavailable(cut.error) from cut.error

    def _run(self, sqls: Sequence[str], values: Mapping[str, object]) -> Rows:
        connection = self._connections.take(writes=self._writes)
        try:
            # Fetch all rows: an open cursor keeps a read transaction open on SQLite.
            rows = self._run_sqls(connection, sqls, values)
        except BaseException as error:
            had_died = self._connections.is_disconnected(connection)
            connection.close()  # its state is unknown
            if not (had_died and isinstance(error, self._error)) or isinstance(error, OverrunError):
                raise
            # The cause has probably disconnected all idle connections.
            self._connections.close()
            raise _ConnectionCut(error) from error
        self._connections.give_back(connection)
        self._connections.breaker.succeed()
        return rows


class _ConnectionCut(Exception):
    """
    The connection was closed, usually before the statements reached the server.

    It may also have been closed after a commit, whose confirmation is lost then.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


def insert_after(update: sa.Update, table: sa.Table) -> sa.Insert:
    """Return one statement that updates and, for each changed row, inserts one into a table."""
    one: sa.ColumnElement[int] = sa.literal_column("1")
    changed = update.returning(one).cte("changed")
    row = sa.select(*(sa.bindparam(column.name, type_=column.type) for column in table.c))
    return table.insert().from_select(list(table.c), row.select_from(changed)).returning(one)
