"""The purge of events that are older than the retention."""

from tokensvc.audit import store
from tokensvc.audit.rules import Action
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

BATCH = 500


class AuditPurge:
    """
    Deletes old events, and records how many.

    Args:
        clock: Clock of the database.
        retention: Seconds for which events are kept.
    """

    def __init__(self, database: Database, clock: DatabaseClock, retention: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention

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
            before = int(now) - self._retention
            purged = store.purge(tx, before, BATCH)
            if purged:
                context = ActionContext(
                    "service:retention", f"{purged} events from before {before}"
                )
                store.record(tx, context, Action.AUDIT_PURGED, "audit", now=now)
        return purged == BATCH
