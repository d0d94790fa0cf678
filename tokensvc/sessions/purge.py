"""The purge of sessions that give no access."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.sessions import store
from tokensvc.sessions.settings import SessionSettings

BATCH = 500


class SessionPurge:
    """
    Deletes ended, idle and expired sessions.

    Args:
        clock: Clock of the database.
    """

    def __init__(self, database: Database, clock: DatabaseClock, settings: SessionSettings) -> None:
        self._database = database
        self._clock = clock
        self._settings = settings

    def step(self) -> bool:
        """
        Delete one batch.

        Returns:
            Whether more may be left.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            now = self._clock.read(tx)
            return store.purge(tx, self._settings, now=now, limit=BATCH) == BATCH
