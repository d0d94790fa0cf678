"""The purge of undone revocations and finished deliveries, which change no standing."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.delivery import store as deliveries
from tokensvc.delivery.rules import OBSOLETE_AFTER
from tokensvc.revocations import store

BATCH = 500


class RevocationPurge:
    """
    Deletes what tells only of the past.

    A revocation in effect stays, however old: an undo of a later one goes back to its cut-off.
    Standings stay too: they contain the cut-off, its floor and the epoch of sessions.

    Args:
        clock: Clock of the database.
        retention: Seconds for which the rows are kept. Deliveries are kept for at least as long as
            a token from before the cut-off can be valid, because Stream may lose a cut-off.
    """

    def __init__(self, database: Database, clock: DatabaseClock, retention: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention

    def step(self) -> bool:
        """
        Delete one batch of each kind.

        Returns:
            Whether more may be left.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            now = self._clock.read(tx)
            finished_before = now - max(self._retention, OBSOLETE_AFTER)
            purged = (
                store.purge_undone(tx, now - self._retention, BATCH),
                deliveries.purge_finished(tx, finished_before, BATCH),
            )
        return max(purged) == BATCH
