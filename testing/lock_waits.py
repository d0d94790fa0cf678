"""Transactions of PostgreSQL that wait for a lock."""

from testing.waiting import wait_until
from tokensvc.database.engine import Database

_WAITING = (
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def has_blocked_transaction(database: Database) -> bool:
    """Return whether a transaction waits for a lock of another one."""
    with database.read() as connection:
        return bool(connection.exec_driver_sql(_WAITING).scalar())


def wait_until_blocked(database: Database) -> None:
    """Wait until a transaction waits for a lock. On SQLite it cannot even begin: do not wait."""
    if database.dialect == "postgresql":
        wait_until(lambda: has_blocked_transaction(database), "a transaction waits for a lock")
