"""Read the audit trail, and purge what is older than it must be kept."""

from collections.abc import Iterator

from tokensvc.audit import store
from tokensvc.audit.rules import Action, Event
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction

_BATCH = 1000


class AuditTrail:
    """
    The events of this service.

    Args:
        retention: Seconds for which events are kept.
    """

    def __init__(self, database: Database, clock: DatabaseClock, retention: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = retention

    def page(
        self, *, after: str | None = None, limit: int, filters: dict[str, str] | None = None
    ) -> list[Event]:
        """
        Give events, newest first.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.read() as connection:
            return store.page(connection, after=after, limit=limit, filters=filters or {})

    def since(self, after: str | None) -> Iterator[Event]:
        """
        Give all events after one, oldest first.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        while True:
            with self._database.read() as connection:
                events = store.since(connection, after, _BATCH)
            yield from events
            if len(events) < _BATCH:
                return
            after = events[-1].id

    def purge(self) -> int:
        """
        Delete what has been kept long enough, in batches that hold no lock for long.

        Returns:
            The number of events.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        before = int(self._clock()) - self._retention
        total = 0
        while True:
            with self._database.write() as tx:
                purged = store.purge(tx, before, _BATCH)
                if purged:
                    self._record_purge(tx, purged, before)
            total += purged
            if purged < _BATCH:
                return total

    def _record_purge(self, tx: Transaction, purged: int, before: int) -> None:
        store.record(
            tx,
            now=self._clock.read(tx),
            actor="service:retention",
            action=Action.AUDIT_PURGED,
            subject="audit",
            reason=f"{purged} events from before {before}",
        )
