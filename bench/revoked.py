"""
Revoked users, written into the service's database: their number must cost nothing.

Each has what a revocation leaves behind: a standing, the revocation, and a delivery that has ended.
"""

import sqlite3
import time
from pathlib import Path

import psycopg

from bench.credentials import USER_ID_FORMAT, USER_IDS

_AGE = 86400
"""
Seconds since the cut-offs: they are before the sign-ins of the load, which therefore pass, and not
so old that their deliveries are purged.
"""

_TABLES = {
    "user_standings": (
        "user_id, tokens_valid_after, floor",
        "user_id, {cut_off}, {cut_off}",
    ),
    "revocations": (
        "id, user_id, kind, tokens_valid_after, created_at, actor, confirmed",
        "revocation_id, user_id, 'revocation', {cut_off}, {cut_off}, 'svc.bench', TRUE",
    ),
    "deliveries": (
        "kind, subject, version, applied_version, state, due_at, updated_at",
        "'user', user_id, 1, 1, 'applied', {cut_off}, {cut_off}",
    ),
}
_SQLITE_USERS = """
WITH RECURSIVE serial(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM serial WHERE n + 1 < {count}),
users(user_id, revocation_id) AS (
    SELECT printf('{user_id}', n * {step}), printf('rev_%022x', n) FROM serial
)
"""
_POSTGRES_USERS = """
WITH users(user_id, revocation_id) AS (
    SELECT 'user-' || lpad((n * {step})::text, 7, '0'), 'rev_' || lpad(to_hex(n), 22, '0')
    FROM generate_series(0, {count} - 1) AS n
)
"""


def revoke(database: Path | str, count: int) -> None:
    """
    Write `count` revoked users, evenly among all IDs.

    Args:
        database: File of SQLite, or URL of PostgreSQL.
        count: Number of users, a divisor of `USER_IDS`.
    """
    if isinstance(database, Path):
        connection = sqlite3.connect(database, isolation_level=None)
        for statement in _statements(_SQLITE_USERS, count):
            connection.execute(statement)
        # Into the file itself, as it would be an hour later.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return
    with psycopg.connect(database, autocommit=True) as postgres:
        for statement in _statements(_POSTGRES_USERS, count):
            postgres.execute(statement.encode())
        postgres.execute("VACUUM ANALYZE")


def _statements(users: str, count: int) -> list[str]:
    values = {
        "count": count,
        "step": USER_IDS // count,
        "cut_off": int(time.time()) - _AGE,
        "user_id": USER_ID_FORMAT,
    }
    return [
        f"INSERT INTO {table} ({columns}) {users} SELECT {select} FROM users".format(**values)
        for table, (columns, select) in _TABLES.items()
    ]
