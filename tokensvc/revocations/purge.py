"""The purge of undone revocations and finished deliveries, which change no standing."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge
from tokensvc.database.engine import Database, Transaction
from tokensvc.revocations import store
from tokensvc.stream.delivery import store as deliveries
from tokensvc.stream.delivery.rules import OBSOLETE_AFTER


class RevocationPurge(Purge):
    """
    Deletes rows that no decision needs.

    A revocation in effect stays, however old: an undo of a later one goes back to its cut-off.
    Standings stay too: they contain the cut-off, its floor and the epoch of sessions.

    Args:
        retention: Seconds for which the rows are kept. Deliveries are kept for at least as long as
            a token from before the cut-off can be valid, because Stream may lose a cut-off.
    """

    def __init__(self, database: Database, clock: DatabaseClock, retention: int) -> None:
        super().__init__(database, clock)
        self._retention = retention

    def _delete(self, tx: Transaction, now: float) -> int:
        finished_before = now - max(self._retention, OBSOLETE_AFTER)
        return max(
            store.purge_undone(tx, now - self._retention, self.batch),
            deliveries.purge_finished(tx, finished_before, self.batch),
        )
