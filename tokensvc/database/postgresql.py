"""
PostgreSQL: psycopg 3, the primary only, bounded waits.

Imported on first use, because the driver takes 10 MB in every worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus

from tokensvc.database.failures import ExplainedError, explain_connection_failure

BEGIN = "BEGIN"

_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 3
_RESPONSE_SECONDS = 4.0
"""Longer than the server's own limit, which a stopped or disconnected server does not enforce."""

_CONNECT_ARGS = {
    "application_name": "tokensvc",
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}

# Set after connecting and not in the start-up packet, because poolers refuse that.
_SESSION = f"""
SELECT set_config('statement_timeout', '{_STATEMENT_SECONDS}s', false),
       set_config('lock_timeout', '{_STATEMENT_SECONDS}s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)
"""

_MIGRATION_LOCK = int.from_bytes(b"tokensvc")


class ConnectionFailedError(ExplainedError, psycopg.OperationalError):
    """No connection could be opened."""


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection with a timeout for the server's responses.

    Attributes:
        time_limit: Seconds for one exchange with the server, or `None` for no limit.
        overran: Whether the limit was exceeded, which closes the connection.
    """

    time_limit: float | None = _RESPONSE_SECONDS
    overran: bool = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for a response, at most `time_limit` seconds."""
        try:
            return super().wait(gen, interval, self.time_limit if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.overran = True
                self.close()
            raise


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
        # Prepared statements belong to a session, which a pooler may change between two statements.
        "prepare_threshold": None,
    }


def connect(_dialect: object, _record: object, args: Any, options: Any) -> BoundedConnection:
    """
    Open a connection, replacing SQLAlchemy's `do_connect`.

    Raises:
        ConnectionFailedError: The server cannot be reached, or rejects the connection.
    """
    try:
        return BoundedConnection.connect(*args, **options)
    except psycopg.OperationalError as error:
        text = explain_connection_failure(
            str(error),
            host=options.get("host", "the local socket"),
            port=options.get("port", 5432),
            role=options.get("user", "of this process"),
        )
        raise ConnectionFailedError(text) from error


def prepare_connection(connection: Any, _record: object) -> None:
    """Set timeouts, and make each commit durable before the server confirms it."""
    connection.execute(_SESSION)


def is_disconnected(connection: BoundedConnection) -> bool:
    """Return whether the connection was disconnected, and not closed by a timeout."""
    return connection.closed and not connection.overran


@contextmanager
def migration_lock(transaction: sa.Connection) -> Iterator[None]:
    """Hold the migration lock until the transaction ends, without timeouts."""
    driver: Any = transaction.connection.dbapi_connection
    driver.time_limit = None
    try:
        transaction.exec_driver_sql("SET LOCAL statement_timeout = 0")
        transaction.exec_driver_sql("SET LOCAL lock_timeout = 0")
        transaction.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        yield
    finally:
        driver.time_limit = _RESPONSE_SECONDS
