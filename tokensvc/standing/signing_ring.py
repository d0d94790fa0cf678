"""The one read of the version of the ring of signing keys, outside any transaction."""

import sqlalchemy as sa

from tokensvc.core.clock import Clock
from tokensvc.database.engine import Database
from tokensvc.standing.clocked_read import ClockedRead
from tokensvc.standing.ring_versions import RING_VERSIONS
from tokensvc.standing.rules import Ring, RingVersion


class SigningRingReads:
    """
    Reads the version of the ring of signing keys for requests, in one statement.

    Args:
        clock: Clock of this host, used on SQLite.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._read = ClockedRead(database, clock, sa.select(*RING_VERSIONS[Ring.SIGNING]))

    def now(self) -> tuple[float, RingVersion]:
        """
        Return the time in epoch seconds and the version.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        row, now = self._read.fetch({})
        return now, RingVersion(*row)
