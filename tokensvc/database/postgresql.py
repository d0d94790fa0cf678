"""
PostgreSQL: psycopg 3, bounded waits.

The client ends each wait itself, because a stopped server acknowledges what it receives and
enforces none of its own timeouts. Those apply to transactions only: set for a session, a pooler in
transaction mode would hand them to other clients, or lose them.

Imported on first use, because the driver takes 10 MB in every worker.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from select import POLLIN, POLLOUT, poll
from typing import Any, Self

import psycopg
import sqlalchemy as sa
from psycopg.abc import RV, PQGen, PQGenConn
from psycopg.pq import ExecStatus, Format, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

from tokensvc.core import deadline
from tokensvc.database import postgresql_statements as statements
from tokensvc.database.failures import ExhaustedError, OverrunError

_RESPONSE_SECONDS = 3.5
"""Longer than the server's own limit, so that a server that works names the cause."""
_SILENCE_SECONDS = 1.5
"""A wait that ended earlier, with its request, does not show that the server is silent."""
_CANCEL_SECONDS = 0.25
"""For the request to cancel a statement, and again for the server to end it."""

_MIGRATION_LOCK = int.from_bytes(b"tokensvc")

_REFUSED_OR_CUT = ("080", "28", "3D000", "57P", "25006")
"""
Starts of the SQLSTATEs of connection failures (PostgreSQL, appendix A): connection exceptions, the
role or database is refused, the server stops or starts, it is read-only. A violation of the
protocol (08P01) is none: the values of a request can cause it.
"""


class ServerSilentError(psycopg.OperationalError, OverrunError):
    """The server did not respond in time."""


class RequestOverdueError(psycopg.OperationalError, OverrunError):
    """A wait was given up that does not show that the server is silent."""


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that ends each wait for the server itself.

    Attributes:
        time_limit: Maximum seconds for one exchange with the server.
        is_direct: Whether the session is the server's own: a pooler has another key to cancel it.
        preparation: Whether statements may be prepared, for all connections of an engine.
        prepared: Names of the statements that this connection has prepared.
        unsent: Functions that send the statements of the transaction that wait for the next one.
    """

    time_limit: float = _RESPONSE_SECONDS
    is_direct: bool
    preparation: statements.Preparation
    prepared: set[bytes]
    unsent: list[Callable[[], None]]

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.prepared = set()
        self.unsent = []
        self._loaders: dict[int, Callable[[Any], Any]] = {}

    fetch = statements.fetch
    change = statements.change

    def is_disconnected(self) -> bool:
        """Return whether the connection is closed."""
        return self.closed

    @classmethod
    def _connect_gen(cls, conninfo: str = "") -> PQGenConn[Self]:
        """Connect, at most until the deadline: psycopg's own limit is at least 2 seconds."""
        # A private name of psycopg: its public `connect` has no shorter limit, and `pq` would need
        # a second form of all that `connect` does for several hosts and their errors.
        attempt = super()._connect_gen(conninfo)
        try:
            wanted = next(attempt)
            while deadline.remaining(1.0):
                wanted = attempt.send((yield wanted))
        except StopIteration as ended:
            connected: Self = ended.value
            return connected
        raise RequestOverdueError("connecting takes longer than the request may")

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """
        Wait for a response, at most for `time_limit` and until the deadline of the request.

        Raises:
            ServerSilentError: No response. The connection is closed.
            RequestOverdueError: The deadline came too early for that, or the server has ended the
                statement, which waited for a lock or took too long. The connection is closed.
        """
        if self.unsent:
            self.send_all()  # before a statement of SQLAlchemy
        limit = deadline.remaining(self.time_limit if timeout is None else timeout)
        try:
            return super().wait(gen, interval, None if limit == inf else limit)
        except psycopg.errors.ReadOnlySqlTransaction:
            self.close()  # the next connection finds the primary, or fails
            raise
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            wait = super().wait
            has_ended = self._has_ended(lambda: wait(gen, timeout=_CANCEL_SECONDS))
            raise _overrun(limit, has_ended=has_ended) from error

    def result(self) -> PGresult:
        """
        Send what `pgconn` has not sent yet, and return the result of the statement.

        Raises:
            psycopg.Error: The statement failed, or as `wait`.
        """
        return self._checked(self._next_result())

    def send_all(self) -> PGresult:
        """
        Send the unsent statements together, and return the result of the last one.

        Raises:
            psycopg.Error: One failed, and the later ones did not run; or as `wait`.
        """
        unsent, self.unsent = self.unsent, []
        pgconn = self.pgconn
        pgconn.enter_pipeline_mode()
        for send in unsent:
            send()
        pgconn.pipeline_sync()
        results = [self._next_result() for _ in unsent]
        self._next_result()  # of the end
        pgconn.exit_pipeline_mode()
        return [self._checked(result) for result in results][-1]

    def commit(self) -> None:
        """Send the unsent statements and the commit together. Roll back if one fails."""
        self.unsent.append(partial(self.pgconn.send_query_params, b"COMMIT", None))
        try:
            self.send_all()
        except psycopg.Error:
            if not self.closed:
                self.rollback()
            raise

    def rollback(self) -> None:
        """Roll back, without the unsent statements."""
        self.unsent.clear()
        super().rollback()

    def _next_result(self) -> PGresult:
        limit = deadline.remaining(self.time_limit)
        if not self._await_result(limit):
            raise _overrun(limit, has_ended=self._has_ended(self._await_end))
        pgconn = self.pgconn
        result = pgconn.get_result()
        while pgconn.get_result() is not None:
            pass
        if result is None:
            raise psycopg.OperationalError("the server sent no result")
        return result

    def _checked(self, result: PGresult) -> PGresult:
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return result
        error = psycopg.errors.error_from_result(result)
        statements.note_failure(self, error)
        raise error

    def loader(self, oid: int) -> Callable[[Any], Any]:
        """Return the driver's function that converts the text of a value of a type."""
        load = self._loaders.get(oid)
        if load is None:
            loader = self.adapters.get_loader(oid, Format.TEXT)
            if loader is None:
                raise psycopg.NotSupportedError(f"values of the type {oid} cannot be read")
            load = self._loaders[oid] = loader(oid, self).load
        return load

    def _await_result(self, limit: float) -> bool:
        """Wait for a result. Return false after a number of seconds without one."""
        pgconn, end, events = self.pgconn, time.monotonic() + limit, 0
        sockets = poll()
        while (is_unsent := pgconn.flush()) or pgconn.is_busy():
            wanted = POLLIN | POLLOUT if is_unsent else POLLIN
            if wanted != events:
                sockets.register(pgconn.socket, wanted)
                events = wanted
            # A migration has no limit, which `poll` calls `None`.
            left = None if end == inf else max(0.0, end - time.monotonic()) * 1000
            if not sockets.poll(left):
                return False
            pgconn.consume_input()
        return True

    def _has_ended(self, await_end: Callable[[], object]) -> bool:
        """
        Cancel the statement, and close the connection. Return whether the server has ended it.

        Statements that wait for a lock would otherwise use up the server's connections.

        Args:
            await_end: Function that raises an error if the statement does not end soon.
        """
        try:
            self.cancel_safe(timeout=_CANCEL_SECONDS)
            await_end()
        except psycopg.errors.QueryCanceled:
            return True
        except psycopg.Error:
            return False
        finally:
            self.close()
        return True

    def _await_end(self) -> None:
        if not self._await_result(_CANCEL_SECONDS):
            raise psycopg.OperationalError("the statement does not end")


def _overrun(limit: float, *, has_ended: bool) -> psycopg.OperationalError:
    """Return the error of a wait of a number of seconds."""
    is_silent = not has_ended and limit >= _SILENCE_SECONDS
    kind = ServerSilentError if is_silent else RequestOverdueError
    return kind(f"no response within {limit:.1f} s")


def begin(connection: sa.Connection) -> None:
    """Begin a transaction that writes, with timeouts and a durable commit."""
    _begin(connection, statements.BEGIN)


def begin_snapshot(connection: sa.Connection) -> None:
    """Begin a transaction whose statements all see the same moment."""
    _begin(connection, statements.BEGIN_SNAPSHOT)


def _begin(connection: sa.Connection, statement: str) -> None:
    # Only without parameters can one message have several statements.
    text = f"{statement};{statements.SETTINGS}"
    connection.exec_driver_sql(text, execution_options={"no_parameters": True})


def is_connection_failure(error: BaseException) -> bool:
    """Return whether the server refused, cut or ignored a connection, or is not writable."""
    if isinstance(error, RequestOverdueError | ExhaustedError):
        return False
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)  # the driver's own
    return error.sqlstate.startswith(_REFUSED_OR_CUT)


@contextmanager
def migration_lock(transaction: sa.Connection) -> Iterator[None]:
    """Hold the migration lock until the transaction ends, without timeouts."""
    driver: Any = transaction.connection.dbapi_connection
    driver.time_limit = inf
    try:
        transaction.exec_driver_sql("SET LOCAL statement_timeout = 0")
        transaction.exec_driver_sql("SET LOCAL lock_timeout = 0")
        transaction.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        yield
    finally:
        driver.time_limit = _RESPONSE_SECONDS
