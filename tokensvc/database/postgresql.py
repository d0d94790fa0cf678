"""
What is particular to PostgreSQL: psycopg 3, the primary only, no wait without end.

Imported when it is used: SQLite installations spare the driver's 10 MB in every worker.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import RV, PQGen
from psycopg.pq import TransactionStatus

BEGIN = "BEGIN"

_CONNECT_SECONDS = 3
_STATEMENT_SECONDS = 3
_ANSWER_SECONDS = 4.0
"""After the server's own limit: for a server that no longer keeps it, frozen or cut off."""

_CONNECT_ARGS = {
    "application_name": "tokensvc",
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 4000,
}

# Set after the connection and not in its start-up packet, which poolers refuse.
_SESSION = f"""
SELECT set_config('statement_timeout', '{_STATEMENT_SECONDS}s', false),
       set_config('lock_timeout', '{_STATEMENT_SECONDS}s', false),
       set_config('idle_in_transaction_session_timeout', '10s', false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('synchronous_commit', CASE current_setting('synchronous_commit')
           WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)
"""

_MIGRATION_LOCK = int.from_bytes(b"tokensvc")


class BoundedConnection(psycopg.Connection[Any]):
    """
    A connection that gives up on a server that does not answer.

    Attributes:
        time_limit: Seconds for one exchange with the server; `None` waits for ever.
        overran: Whether the limit was passed; the connection is closed then.
    """

    time_limit: float | None = _ANSWER_SECONDS
    overran: bool = False

    def wait(self, gen: PQGen[RV], interval: float = 0.1, timeout: float | None = None) -> RV:
        """Wait for an answer, within `time_limit`."""
        try:
            return super().wait(gen, interval, self.time_limit if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.overran = True
                self.close()
            raise


def connect_args(url: sa.URL) -> dict[str, Any]:
    """
    Give the arguments of the driver: autocommit, so that only we open transactions.

    What the URL states stands, but for the primary: a standby may not know a revocation yet.
    """
    defaults = {name: value for name, value in _CONNECT_ARGS.items() if name not in url.query}
    return {**defaults, "autocommit": True, "target_session_attrs": "read-write"}


def connect(_dialect: object, _record: object, args: Any, options: Any) -> BoundedConnection:
    """Open a connection, in place of SQLAlchemy's `do_connect`."""
    return BoundedConnection.connect(*args, **options)


def prepare_connection(connection: Any, _record: object) -> None:
    """Bound every statement, and make a commit durable before it is answered."""
    connection.execute(_SESSION)


def is_disconnected(connection: BoundedConnection) -> bool:
    """Tell whether the connection had been cut; a server that does not answer is no such case."""
    return connection.closed and not connection.overran


@contextmanager
def migration_lock(transaction: sa.Connection) -> Iterator[None]:
    """Hold the lock of migrations until the transaction ends, and lift its limits of time."""
    driver: Any = transaction.connection.dbapi_connection
    driver.time_limit = None
    try:
        transaction.exec_driver_sql("SET LOCAL statement_timeout = 0")
        transaction.exec_driver_sql("SET LOCAL lock_timeout = 0")
        transaction.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
        yield
    finally:
        driver.time_limit = _ANSWER_SECONDS
