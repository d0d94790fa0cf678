"""
Connections to the primary among several servers.

All are tried side by side: one that does not respond must not delay the next one.

Imported on first use, like the driver.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, LiteralString

import psycopg
import structlog

from tokensvc.core import deadline
from tokensvc.database.failures import ExhaustedError, ExplainedError
from tokensvc.database.postgresql_connection import BoundedConnection, RequestOverdueError
from tokensvc.database.servers import Server, Servers

_SLOWER_SECONDS = 1.0
"""Time that servers have to respond after the first one has."""
_FIRST_SECONDS = 2.5
"""Time for the first response. The driver itself waits for 2 seconds."""

_IDENTITY = """
SELECT pg_backend_pid(), (SELECT system_identifier::text FROM pg_control_system()),
       pg_walfile_name(pg_current_wal_lsn()),
       extract(epoch FROM pg_postmaster_start_time())::text
"""
# `pg_control_checkpoint()` shows the previous timeline until a checkpoint after a promotion.
_PID = "SELECT pg_backend_pid()"

_log = structlog.get_logger(__name__)

Options = dict[str, Any]


class PreviousPrimaryError(ExplainedError, psycopg.OperationalError):
    """The only server that accepts writes was replaced by another one."""


class Hosts:
    """
    The hosts of a URL, and how to connect to their primary.

    Args:
        options: Options of the driver, with all hosts.
        open_host: Function that opens a connection with the options for one host.
        servers: Record of the servers.
    """

    def __init__(
        self, options: Options, open_host: Callable[[Options], BoundedConnection], servers: Servers
    ) -> None:
        self._hosts = {_address(host): host for host in _split(options)}
        self._open_host = open_host
        self._servers = servers
        self._is_primary_doubtful = False

    def connect(self) -> BoundedConnection:
        """
        Open a connection to the primary.

        Raises:
            psycopg.OperationalError: No host accepts one, or only a previous primary does.
        """
        primary = self._servers.primary
        if len(self._hosts) == 1:
            return self._choose([self._open(*next(iter(self._hosts.items())))])
        if primary is not None and not self._is_primary_doubtful:
            try:
                return self._choose([self._open(primary.address, self._hosts[primary.address])])
            except ExhaustedError:
                raise
            except psycopg.OperationalError:
                self._is_primary_doubtful = True
        chosen = self._choose(self._open_all())
        self._is_primary_doubtful = False
        return chosen

    def look(self) -> None:
        """Look for a server that has become the primary, and for two primaries."""
        try:
            self._choose(self._open_all()).close()
        except ExhaustedError:
            pass
        except psycopg.OperationalError:
            # A frozen primary accepts a connection and would delay those that try it first.
            self._is_primary_doubtful = True

    def _choose(self, writable: list[BoundedConnection]) -> BoundedConnection:
        """Return the connection to the highest timeline, and close the others."""
        chosen, *others = sorted(writable, key=lambda each: each.server.timeline, reverse=True)
        for other in others:
            other.close()
        accepted = self._servers.accept(chosen.server)
        self._servers.compare([connection.server for connection in writable])
        if accepted is None:
            chosen.close()
            raise PreviousPrimaryError(f"The database has {self._servers.problem}.")
        chosen.server = accepted
        return chosen

    def _open_all(self) -> list[BoundedConnection]:
        """
        Return connections to the servers that accept writes, or to the first that was promoted.

        Raises:
            psycopg.OperationalError: None does.
        """
        running = {_in_thread(self._open, *host) for host in self._hosts.items()}
        start = time.monotonic()
        writable: list[BoundedConnection] = []
        failures: list[BaseException] = []
        while running:
            has_response = writable or failures
            limit = _SLOWER_SECONDS if has_response else _FIRST_SECONDS
            left = deadline.remaining(max(0.0, start + limit - time.monotonic()))
            done, running = wait(running, left, FIRST_COMPLETED)
            if not done:
                break
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    writable.append(attempt.result())
                else:
                    failures.append(failure)
            if any(self._servers.is_promoted(connection.server) for connection in writable):
                break
        for attempt in running:
            attempt.add_done_callback(_close_late)
        if writable:
            return writable
        if not deadline.remaining(1.0):
            raise RequestOverdueError("connecting takes longer than the request may")
        failures.sort(key=lambda failure: isinstance(failure, ExhaustedError))
        raise failures[-1] if failures else psycopg.OperationalError("no server responds")

    def _open(self, address: str, host: Options) -> BoundedConnection:
        connection = self._open_host(host)
        try:
            _identify(connection, address)
        except BaseException:
            connection.close()
            raise
        return connection


def _identify(connection: BoundedConnection, address: str) -> None:
    """Read which server it is, and whether a pooler is in between, in one round trip."""
    server = Server(address)
    try:
        pid, system, file, started_at = _row(connection, _IDENTITY)
        server = Server(address, system, int(file[:8], 16), started_at)
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.FeatureNotSupported):
        # Some providers do not let a role see them.
        (pid,) = _row(connection, _PID)
    connection.server = server
    connection.is_direct = pid == connection.pgconn.backend_pid


def _row(connection: BoundedConnection, query: LiteralString) -> tuple[Any, ...]:
    (row,) = connection.execute(query).fetchall()
    found: tuple[Any, ...] = row
    return found


def _split(options: Options) -> Iterator[Options]:
    """Yield the options for each host."""
    lists: dict[str, list[str]] = {
        name: str(options[name]).split(",")
        for name in ("host", "hostaddr", "port")
        if name in options
    }
    number = max((len(values) for values in lists.values()), default=1)
    for place in range(number):
        own = {name: values[place if len(values) > 1 else 0] for name, values in lists.items()}
        yield {**options, **own}


def _address(host: Options) -> str:
    name = host.get("host") or host.get("hostaddr") or "the local socket"
    return f"{name}:{host.get('port') or 5432}"


def _in_thread(
    run: Callable[[str, Options], BoundedConnection], address: str, host: Options
) -> "Future[BoundedConnection]":
    """Open a connection in a thread of its own. The limits of the driver end it."""
    attempt: Future[BoundedConnection] = Future()

    def fulfil() -> None:
        try:
            attempt.set_result(run(address, host))
        except Exception as error:  # noqa: BLE001 - the caller decides
            attempt.set_exception(error)

    try:
        threading.Thread(target=fulfil, name="database-host", daemon=True).start()
    except RuntimeError as error:  # the system allows no more threads
        attempt.set_exception(psycopg.OperationalError(str(error)))
    return attempt


def _close_late(attempt: "Future[BoundedConnection]") -> None:
    if attempt.exception() is None:
        attempt.result().close()
