"""The purge of sessions that give no access."""

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge
from tokensvc.database.engine import Database, Transaction
from tokensvc.sessions import store
from tokensvc.sessions.settings import SessionSettings


class SessionPurge(Purge):
    """Deletes ended, idle and expired sessions."""

    def __init__(self, database: Database, clock: DatabaseClock, settings: SessionSettings) -> None:
        super().__init__(database, clock)
        self._settings = settings

    def _delete(self, tx: Transaction, now: float) -> int:
        return store.purge(tx, self._settings, now=now, limit=self.batch)
