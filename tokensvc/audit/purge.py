"""The purge of events that are older than the retention."""

from tokensvc.audit import store
from tokensvc.audit.rules import Action
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.deletion import Purge
from tokensvc.database.engine import Database, Transaction


class AuditPurge(Purge):
    """
    Deletes old events, and records how many.

    Args:
        retention: Seconds for which events are kept.
    """

    def __init__(self, database: Database, clock: DatabaseClock, retention: int) -> None:
        super().__init__(database, clock)
        self._retention = retention

    def _delete(self, tx: Transaction, now: float) -> int:
        before = int(now) - self._retention
        purged = store.purge(tx, before, self.batch, now)
        if purged:
            context = ActionContext("service:retention", f"{purged} events from before {before}")
            store.record(tx, context, Action.AUDIT_PURGED, "audit", now=now)
        return purged
