"""
A statement compiled once and run on the driver's own connection: the read of the hot path.

SQLAlchemy's execution costs several times what the query does, and the lending of its pool as much.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import sqlalchemy as sa

from tokensvc.database.failures import is_unavailability, unavailable


class ReadConnections:
    """
    The driver connections of prepared reads, each in the hands of one thread at a time.

    Kept from one read to the next, outside the engine's pool: they take no transaction's place
    there. There are never more than threads have read at once.

    Args:
        engine: Makes them; its driver connections are in autocommit.
        has_died: Whether a driver connection had been cut before it was used.
    """

    __slots__ = ("_engine", "_idle", "give_back", "is_disconnected")

    def __init__(self, engine: sa.Engine, is_disconnected: Callable[[Any], bool]) -> None:
        self._engine = engine
        self._idle: list[Any] = []
        self.give_back = self._idle.append
        self.is_disconnected = is_disconnected

    def take(self) -> Any:
        """Lend the connection that was used last, or a fresh one: `give_back` or close it."""
        try:
            return self._idle.pop()
        except IndexError:
            pooled = self._engine.raw_connection()
            pooled.detach()
            return pooled.dbapi_connection

    def close(self) -> None:
        """Close those that are idle, and those of the engine."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()
        self._engine.dispose()


class PreparedRead:
    """
    One query, run outside any transaction.

    Values are the driver's own: no type of SQLAlchemy converts them.

    Args:
        dialect: The engine's.
        connections: On which it runs.
        statement: Binds its parameters by name.
    """

    __slots__ = ("_connections", "_constants", "_error", "_sql")

    def __init__(
        self, dialect: sa.Dialect, connections: ReadConnections, statement: sa.Select[Any]
    ) -> None:
        compiled = statement.compile(dialect=dialect)
        self._connections = connections
        self._error: type[Exception] = dialect.loaded_dbapi.Error
        self._sql = str(compiled)
        self._constants = {
            name: value for name, value in compiled.params.items() if value is not None
        }

    def fetch(self, params: Mapping[str, object]) -> tuple[Any, ...] | None:
        """
        Give the first row, or `None`.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        rows = self.fetch_all(params)
        return rows[0] if rows else None

    def fetch_all(self, params: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """
        Give all rows. Asks once more, on a fresh connection, if the idle one had been cut.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        values = {**self._constants, **params}
        try:
            try:
                return self._run(values)
            except _ConnectionCut:
                return self._run(values)
        except (self._error, sa.exc.TimeoutError) as error:
            if is_unavailability(error):
                raise unavailable(error) from error
            raise
        except _ConnectionCut as cut:
            raise unavailable(cut.error) from cut.error

    def _run(self, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        connection = self._connections.take()
        try:
            # To the last row: a cursor left in the middle holds a read transaction open on SQLite.
            rows: list[tuple[Any, ...]] = connection.execute(self._sql, values).fetchall()
        except BaseException as error:
            had_died = self._connections.is_disconnected(connection)
            connection.close()  # whatever state it is in now
            if not (had_died and isinstance(error, self._error)):
                raise
            # What cut one idle connection has cut them all: the others need not find out singly.
            self._connections.close()
            raise _ConnectionCut(error) from error
        self._connections.give_back(connection)
        return rows


class _ConnectionCut(Exception):
    """The connection had ended before the query reached the server."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
