"""
Revoked users in the service's database, whose number must not cost anything.

Each has a standing, a revocation and its applied delivery. The delivery threads of the measured
workers search for open deliveries among them.
"""

import sqlite3
from pathlib import Path

from bench.credentials import USER_ID_FORMAT, USER_IDS

_CUT_OFF = 1_000_000_000
"""Long before the credentials of the load, so that they are accepted."""

_USERS = f"""
WITH RECURSIVE serial(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM serial WHERE n + 1 < :count),
users(n, user_id) AS (SELECT n, printf('{USER_ID_FORMAT}', n * :step) FROM serial)
"""
_INSERTS = (
    """
INSERT INTO user_standings (user_id, tokens_valid_after, floor)
SELECT user_id, :cut_off, :cut_off FROM users
""",
    """
INSERT INTO revocations (id, user_id, kind, tokens_valid_after, created_at, actor)
SELECT printf('rev_%014x%08x', :cut_off, n), user_id, 'revocation', :cut_off, :cut_off, 'svc.bench'
FROM users
""",
    """
INSERT INTO deliveries (kind, subject, version, applied_version, state, due_at, updated_at)
SELECT 'user', user_id, 1, 1, 'applied', :cut_off, :cut_off FROM users
""",
)


def revoke(database: Path, count: int) -> None:
    """Write `count` revoked users, evenly distributed over all IDs."""
    connection = sqlite3.connect(database, isolation_level=None)
    values = {"count": count, "step": USER_IDS // count, "cut_off": _CUT_OFF}
    try:
        for insert in _INSERTS:
            connection.execute(_USERS + insert, values)
        # Write to the file itself, as the service does within an hour.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
