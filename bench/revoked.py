"""Users who were revoked, written into the service's database: the size that must cost nothing."""

import sqlite3
from pathlib import Path

from bench.credentials import USER_ID_FORMAT, USER_IDS

_CUT_OFF = 1_000_000_000
"""Long before the credentials of the load, which therefore pass."""

_INSERT = f"""
WITH RECURSIVE serial(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM serial WHERE n + 1 < :count)
INSERT INTO user_standings (user_id, tokens_valid_after, floor)
SELECT printf('{USER_ID_FORMAT}', n * :step), :cut_off, :cut_off FROM serial
"""


def revoke(database: Path, count: int) -> None:
    """Write `count` revoked users, evenly among all the ids."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute(
            _INSERT, {"count": count, "step": USER_IDS // count, "cut_off": _CUT_OFF}
        )
        # Into the file itself, as it would be an hour later.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
