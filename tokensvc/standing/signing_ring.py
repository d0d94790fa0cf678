"""The one read of the version of the ring of signing keys, outside any transaction."""

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.standing.clocked_read import fetch_clocked
from tokensvc.standing.ring_versions import RING_VERSIONS
from tokensvc.standing.rules import Ring, RingVersion

_STATEMENT = sa.select(*RING_VERSIONS[Ring.SIGNING])


def read_signing_ring(database: Database, clock: Clock) -> tuple[float, RingVersion]:
    """
    Return the time in epoch seconds and the version of the ring of signing keys, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
    """
    (row, *_), now = fetch_clocked(database, clock, _STATEMENT, {})
    return now, RingVersion(*row)
