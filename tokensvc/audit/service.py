"""Read the audit trail, add what no other transaction holds, purge what was kept long enough."""

from collections.abc import Iterator, Mapping

from tokensvc.audit import store
from tokensvc.audit.rules import Action, AuditEvent, first_id_at
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction

_BATCH = 1000

_LONGEST_ACT = 60
"""Seconds. An event is dated in a transaction that others may overtake, and is seen at its end."""


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

    def record(self, context: ActionContext, action: Action, subject: str) -> None:
        """
        Write an event of what changes nothing in the database, so that it has no transaction.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.write() as tx:
            store.record(tx, context, action, subject, now=self._clock.read(tx))

    def page(
        self, *, after: str | None = None, limit: int, filters: Mapping[str, str]
    ) -> list[AuditEvent]:
        """
        Give events, newest first.

        Args:
            after: The id of the last event that was seen.
            filters: Members of an event and the values that they must have.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        with self._database.read() as connection:
            return store.page(connection, after=after, limit=limit, filters=filters)

    def follow(self, limit: int, filters: Mapping[str, str]) -> Iterator[list[AuditEvent]]:
        """
        Give the latest events, then, each time it is asked, those that have come since.

        None is left out. After a clock was set back some come again: their ids tell.

        Raises:
            Refusal: `temporarily_unavailable`.
        """
        looked_at = self._clock()
        seen = {event.id for event in self._since(looked_at - _LONGEST_ACT, filters)}
        events = self.page(limit=limit, filters=filters)[::-1]
        seen.update(event.id for event in events)
        while True:
            yield events
            # From the last look on, however long ago; earlier, should the clock have been set back.
            former, looked_at = looked_at, self._clock()
            recent = self._since(min(former, looked_at) - _LONGEST_ACT, filters)
            events = [event for event in recent if event.id not in seen]
            seen = {event.id for event in recent}

    def _since(self, moment: float, filters: Mapping[str, str]) -> list[AuditEvent]:
        with self._database.read() as connection:
            return store.since(connection, first_id_at(moment), filters)

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
        context = ActionContext("service:retention", f"{purged} events from before {before}")
        store.record(tx, context, Action.AUDIT_PURGED, "audit", now=self._clock.read(tx))
