"""
A connection to PostgreSQL: psycopg 3, bounded waits, prepared statements outside transactions.

The client ends each wait itself, because a stopped server acknowledges what it receives and
enforces none of its own timeouts.

Planning a statement takes longer than running it. They are prepared, bound and awaited by libpq's
own functions: psycopg's cursors cost twice as much. A pooler in transaction mode may use another
session for each statement. PgBouncer 1.21 or later with `max_prepared_statements` prepares each
statement where it is missing. Behind any other one PostgreSQL refuses a statement sooner or later:
from then on this process sends their texts. Behind every pooler it does so in transactions, which a
refused statement would abort.

A change in a transaction that returns no rows waits for the next statement, or the commit: each
message costs more than most changes.
"""

import time
from collections.abc import Callable
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
from tokensvc.database.failures import OverrunError
from tokensvc.database.postgresql_statements import (
    Preparation,
    compiled,
    encoded,
    is_refused_preparation,
    rows_of,
    with_settings,
)
from tokensvc.database.servers import Server
from tokensvc.database.statements import Rows, Values

RESPONSE_SECONDS = 3.5
"""Longer than the server's own limit, so that a server that works names the cause."""
_SILENCE_SECONDS = 1.5
"""A wait that ended earlier, with its request, does not show that the server is silent."""
_LOOK_SECONDS = 0.25
"""Longest wait before the next look whether the server is still the primary."""
_CANCEL_SECONDS = 0.25
"""For the request to cancel a statement, and again for the server to end it."""


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
        server: Server of the session.
        preparation: Whether statements may be prepared, for all connections of an engine.
        prepared: Names of the statements that this connection has prepared.
        unsent: Functions that send the statements of the transaction that wait for the next one.
    """

    time_limit: float = RESPONSE_SECONDS
    is_direct: bool
    server: Server = Server()
    preparation: Preparation
    prepared: set[bytes]
    unsent: list[Callable[[], None]]

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        self.prepared = set()
        self.unsent = []
        self._loaders: dict[int, Callable[[Any], Any]] = {}

    def fetch(self, statement: sa.ClauseElement, values: Values) -> Rows:
        """Run a statement in the open transaction, or in autocommit. Return all its rows."""
        name, sql, names, constants, has_rows = compiled(statement)
        if constants:
            values = {**constants, **values}
        parameters = [encoded(values[each]) for each in names]
        pgconn = self.pgconn
        can_prepare = self.is_direct or pgconn.transaction_status == TransactionStatus.IDLE
        if can_prepare and self.preparation.is_possible:
            try:
                if name not in self.prepared:
                    pgconn.send_prepare(name, sql)
                    self._result()
                    self.prepared.add(name)
                send = partial(pgconn.send_query_prepared, name, parameters)
                return self._run(send, has_rows=has_rows)
            except psycopg.Error as error:
                # Otherwise the connection is closed, or the transaction aborted.
                is_usable = pgconn.transaction_status == TransactionStatus.IDLE
                if not (is_refused_preparation(error) and is_usable):
                    raise
        return self._run(partial(pgconn.send_query_params, sql, parameters), has_rows=has_rows)

    def change(self, statement: sa.UpdateBase, values: Values) -> Rows:
        """Run a statement; an update has a limit for locks and a durable commit."""
        if isinstance(statement, sa.Update):
            statement = with_settings(statement)
        return self.fetch(statement, values)

    def is_disconnected(self) -> bool:
        """Return whether the connection is closed, or its server no longer the primary."""
        return self.closed or self.server.is_left

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
        self._check_server()
        if self.unsent:
            self._send_all()  # before a statement of SQLAlchemy
        limit = deadline.remaining(self.time_limit if timeout is None else timeout)
        try:
            result = super().wait(gen, interval, None if limit == inf else limit)
        except psycopg.errors.ReadOnlySqlTransaction:
            self.close()  # the next connection finds the primary, or fails
            raise
        except psycopg.OperationalError as error:
            if self.pgconn.transaction_status != TransactionStatus.ACTIVE:
                raise
            wait = super().wait
            has_ended = self._has_ended(lambda: wait(gen, timeout=_CANCEL_SECONDS))
            raise _overrun(limit, has_ended=has_ended) from error
        self._check_server()
        return result

    def commit(self) -> None:
        """Send the unsent statements and the commit together. Roll back if one fails."""
        self.unsent.append(partial(self.pgconn.send_query_params, b"COMMIT", None))
        try:
            self._send_all()
        except psycopg.Error:
            if not self.closed:
                self.rollback()
            raise

    def rollback(self) -> None:
        """Roll back, without the unsent statements."""
        self.unsent.clear()
        super().rollback()

    def _result(self) -> PGresult:
        """
        Send what `pgconn` has not sent yet, and return the result of the statement.

        Raises:
            psycopg.Error: The statement failed, or as `wait`.
        """
        return self._checked(self._next_result())

    def _send_all(self) -> PGresult:
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

    def _check_server(self) -> None:
        """Close the connection to a server that is no longer the primary: it may be outdated."""
        if self.server.is_left:
            self.close()
            raise psycopg.OperationalError("another server has become the primary")

    def _checked(self, result: PGresult) -> PGresult:
        self._check_server()
        if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            return result
        error = psycopg.errors.error_from_result(result)
        if isinstance(error, psycopg.errors.FeatureNotSupported):
            # A migration has changed the type of a result. A new session prepares it again.
            self.close()
        elif is_refused_preparation(error):
            self.preparation.is_possible = False
        raise error

    def _run(self, send: Callable[[], None], *, has_rows: bool) -> Rows:
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            send()
            return rows_of(self._result(), self._loader)
        self.unsent.append(send)
        return rows_of(self._send_all(), self._loader) if has_rows else []

    def _loader(self, oid: int) -> Callable[[Any], Any]:
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
            left = end - time.monotonic()
            if sockets.poll(min(max(0.0, left), _LOOK_SECONDS) * 1000):
                pgconn.consume_input()
            elif left <= _LOOK_SECONDS:
                return False
            else:
                self._check_server()
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
