"""
PostgreSQL: connecting, to the primary only and within the deadline of the request; transactions.

Timeouts of the server apply to transactions only: set for a session, a pooler in transaction mode
would hand them to other clients, or lose them.

Imported on first use, because the driver takes 10 MB in every worker.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any

import psycopg
import sqlalchemy as sa

from tokensvc.core import deadline
from tokensvc.core.deadline import Deadline
from tokensvc.database.failures import (
    ExhaustedError,
    ExplainedError,
    explain_connection_failure,
    has_no_connection_left,
)
from tokensvc.database.postgresql_connection import (
    RESPONSE_SECONDS,
    BoundedConnection,
    RequestOverdueError,
)
from tokensvc.database.postgresql_hosts import Hosts
from tokensvc.database.postgresql_statements import BEGIN, BEGIN_SNAPSHOT, SETTINGS, Preparation
from tokensvc.database.servers import Servers
from tokensvc.database.statements import DriverConnection
from tokensvc.net.connect import look_up

_CONNECT_SECONDS = 2
"""For each address of the server. psycopg accepts no less."""
_PORT = 5432
_SOCKETS = ("/", "@")
"""First characters of a host that is the folder of a Unix socket, or an abstract one."""

_CONNECT_ARGS = {
    "application_name": "tokensvc",
    "connect_timeout": _CONNECT_SECONDS,
    # A peer that acknowledges nothing is dropped after 5 s, also on an idle connection.
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
}

_MIGRATION_LOCK = int.from_bytes(b"tokensvc")

_REFUSED_OR_CUT = ("080", "28", "3D000", "57P", "25006")
"""
Starts of the SQLSTATEs of connection failures (PostgreSQL, appendix A): connection exceptions, the
role or database is refused, the server stops or starts, it is read-only. A violation of the
protocol (08P01) is none: the values of a request can cause it.
"""


class ConnectionFailedError(ExplainedError, psycopg.OperationalError):
    """No connection could be opened."""


class NoConnectionLeftError(ConnectionFailedError, ExhaustedError):
    """The server works, and refuses a further connection."""


def connect_args(url: sa.URL) -> dict[str, Any]:
    """
    Return the arguments of the driver, with autocommit.

    The URL overrides them, except the choice of the primary: a standby may lack a revocation.
    """
    defaults = {name: value for name, value in _CONNECT_ARGS.items() if name not in url.query}
    return {
        **defaults,
        "autocommit": True,
        "target_session_attrs": "read-write",
        # The driver numbers the statements that it prepares. Behind a pooler, a number can be the
        # statement of another client. `postgresql_statements` names them.
        "prepare_threshold": None,
    }


def connector(
    hosts: Hosts, pop_idle: Callable[[], DriverConnection | None]
) -> Callable[..., DriverConnection]:
    """
    Return the function that opens the connections of an engine: SQLAlchemy's `do_connect`.

    Args:
        pop_idle: Function that returns an idle connection to use if the server has no further one.
    """
    preparation = Preparation()

    def connect(_dialect: object, _record: object, _args: Any, _options: Any) -> DriverConnection:
        try:
            connection = hosts.connect()
        except ExhaustedError:
            idle = pop_idle()
            if idle is None:
                raise
            return idle
        connection.preparation = preparation
        return connection

    return connect


def hosts_of(engine: sa.Engine, arguments: dict[str, Any], servers: Servers) -> Hosts:
    """Return the hosts of the URL of an engine, with the arguments of the driver."""
    options = engine.dialect.create_connect_args(engine.url)[1]
    return Hosts({**options, **arguments}, _connect, servers)


def _connect(options: dict[str, Any]) -> BoundedConnection:
    """
    Open a connection to one host.

    Raises:
        ConnectionFailedError: The server cannot be reached, or rejects the connection.
        NoConnectionLeftError: It rejects this one, and has others.
        RequestOverdueError: The deadline of the request came first.
    """
    try:
        return BoundedConnection.connect(**_with_addresses(options))
    except (psycopg.OperationalError, OSError) as error:
        if not deadline.remaining(1.0):
            raise RequestOverdueError("connecting takes longer than the request may") from error
        is_full = has_no_connection_left(str(error))
        text = explain_connection_failure(
            str(error),
            host=options.get("host", "the local socket"),
            port=options.get("port", 5432),
            role=options.get("user", "of this process"),
        )
        raise (NoConnectionLeftError if is_full else ConnectionFailedError)(text) from error


def _with_addresses(options: dict[str, Any]) -> dict[str, Any]:
    """
    Look up the addresses of the host, because the driver would do it without a limit.

    Raises:
        OSError: The name has no address, or the name server did not respond.
    """
    host, port = str(options.get("host", "")), options.get("port") or _PORT
    if not host or host.startswith(_SOCKETS) or "hostaddr" in options:
        return options
    limit = Deadline(deadline.remaining(_CONNECT_SECONDS))
    addresses = [str(address) for address in look_up(host, int(port), limit)]
    hosts = ",".join([host] * len(addresses))
    return {**options, "host": hosts, "port": port, "hostaddr": ",".join(addresses)}


def begin(connection: sa.Connection) -> None:
    """Begin a transaction that writes, with timeouts and a durable commit."""
    _begin(connection, BEGIN)


def begin_snapshot(connection: sa.Connection) -> None:
    """Begin a transaction whose statements all see the same moment."""
    _begin(connection, BEGIN_SNAPSHOT)


def _begin(connection: sa.Connection, statement: str) -> None:
    # Only without parameters can one message have several statements.
    text = f"{statement};{SETTINGS}"
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
        driver.time_limit = RESPONSE_SECONDS
