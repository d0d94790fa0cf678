"""
A statement compiled once and run on the driver's own connection: the read of the hot path.

SQLAlchemy's execution costs several times what the query does; its pool does not.
"""

from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa

from tokensvc.database.failures import is_unavailability, unavailable


class PreparedRead:
    """
    One query, run outside any transaction.

    Values are the driver's own: no type of SQLAlchemy converts them.

    Args:
        engine: Its pool's driver connections are in autocommit.
        statement: Binds its parameters by name.
        has_died: Whether a driver connection had been cut before it was used.
    """

    __slots__ = ("_constants", "_engine", "_error", "_has_died", "_sql")

    def __init__(
        self, engine: sa.Engine, statement: sa.Select[Any], has_died: Callable[[Any], bool]
    ) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._engine = engine
        self._error: type[Exception] = engine.dialect.loaded_dbapi.Error
        self._has_died = has_died
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
        Give all rows. Asks once more, on a fresh connection, if the pooled one had been cut.

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
        pool = self._engine.pool
        pooled = pool.connect()
        connection: Any = pooled.dbapi_connection
        try:
            # To the last row: a cursor left in the middle holds a read transaction open on SQLite.
            rows: list[tuple[Any, ...]] = connection.execute(self._sql, values).fetchall()
        except self._error as error:
            had_died = self._has_died(connection)
            pooled.invalidate(error)  # whatever state it is in now
            if not had_died:
                raise
            # What cut one idle connection has cut them all: the others need not find out singly.
            if self._engine.pool is pool:
                self._engine.dispose()
            raise _ConnectionCut(error) from error
        else:
            return rows
        finally:
            pooled.close()


class _ConnectionCut(Exception):
    """The connection had ended before the query reached the server."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
