"""
Statements compiled once and run on the driver's own connection, for the hot paths.

SQLAlchemy's execution and its pool each cost several times as much as the query.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from tokensvc.core.blocking import may_block
from tokensvc.database import sqlite
from tokensvc.database.breaker import Breaker
from tokensvc.database.failures import OverrunError, is_unavailability, unavailable


class ReadConnections:
    """
    Driver connections for prepared reads, each used by one thread at a time.

    They stay open between reads, outside the engine's pool, so that they do not take the place of
    a transaction. Their number is that of threads that have read simultaneously.

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

    def take(self) -> Any:
        """Return the connection used last, or a new one. Call `give_back` or close it."""
        if self._is_remote:
            self.breaker.admit()
            may_block()
        try:
            connection = self._idle.pop()
        except IndexError:
            return self._new()
        if self._is_remote or not sqlite.has_moved(connection):
            return connection
        connection.close()
        self.close()
        return self._new()

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


def fetch_rows(connection: Any, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
    """Run a query on a driver's connection outside any transaction, and return all its rows."""
    rows: list[tuple[Any, ...]] = connection.execute(sql, values).fetchall()
    return rows


class PreparedRead:
    """
    A query that runs outside any transaction, unless `run` opens one.

    It is compiled at its first use: a command uses few of the queries of the services it builds.
    Values are the driver's own, not converted by SQLAlchemy's types.

    Args:
        dialect: Dialect of the engine.
        connections: Connections that run the query.
        statement: Query with named parameters. It may run twice if the connection is cut.
        run: Function that runs SQL on a driver's connection and returns all rows.
    """

    __slots__ = ("_compiled", "_connections", "_dialect", "_error", "_run_sql", "_statement")

    def __init__(
        self,
        dialect: sa.Dialect,
        connections: ReadConnections,
        statement: sa.Select[Any] | sa.CompoundSelect[Any] | sa.Insert | sa.Update,
        run: Callable[[Any, str, Mapping[str, object]], list[tuple[Any, ...]]] = fetch_rows,
    ) -> None:
        self._connections = connections
        self._run_sql = run
        self._error: type[Exception] = dialect.loaded_dbapi.Error
        self._dialect = dialect
        self._statement = statement
        self._compiled: tuple[str, dict[str, object]] | None = None

    def compile(self) -> tuple[str, dict[str, object]]:
        """Return the SQL and its constants by name. Two threads may compile simultaneously."""
        compiled = self._statement.compile(dialect=self._dialect)
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._compiled = str(compiled), constants
        return self._compiled

    def fetch(self, params: Mapping[str, object]) -> tuple[Any, ...] | None:
        """
        Return the first row, or `None`.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self.fetch_all(params)
        return rows[0] if rows else None

    def fetch_all(self, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """
        Return all rows. Retry once on a new connection if the idle one was disconnected.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        sql, constants = self._compiled or self.compile()
        values = {**constants, **params}
        try:
            try:
                return self._run(sql, values)
            except _ConnectionCut:
                return self._run(sql, values)
        except (self._error, sa.exc.TimeoutError) as error:
            self._connections.breaker.fail(error)
            if is_unavailability(error):
                raise unavailable(error) from error
            raise
        except _ConnectionCut as cut:
            self._connections.breaker.fail(cut.error)
            raise unavailable(cut.error) from cut.error

    def _run(self, sql: str, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        connection = self._connections.take()
        try:
            # Fetch all rows: an open cursor keeps a read transaction open on SQLite.
            rows = self._run_sql(connection, sql, values)
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
    """The connection was closed before the query reached the server."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
