"""Read the audit trail, and record actions that have no transaction of their own."""

from collections.abc import Iterator, Mapping

from tokensvc.audit import store
from tokensvc.audit.rules import Action, AuditEvent, first_id_at
from tokensvc.core.actions import ActionContext
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

_LONGEST_ACTION = 60
"""Seconds. An event is dated inside its transaction, but visible only after the commit."""


class AuditTrail:
    """The audit events of this service."""

    def __init__(self, database: Database, database_clock: DatabaseClock) -> None:
        self._database = database
        self._clock = database_clock

    def record(self, context: ActionContext, action: Action, subject: str) -> None:
        """Write the event of an action that changes nothing else in the database."""
        with self._database.write() as tx:
            store.record(tx, context, action, subject, now=self._clock.read(tx))

    def page(
        self, *, after: str | None = None, limit: int, filters: Mapping[str, str]
    ) -> list[AuditEvent]:
        """
        Return events, newest first.

        Args:
            after: ID of the last event of the previous page.
            filters: Members of an event and the values that they must have.
        """
        with self._database.read() as connection:
            return store.page(connection, after=after, limit=limit, filters=filters)

    def follow(self, limit: int, filters: Mapping[str, str]) -> Iterator[list[AuditEvent]]:
        """
        Yield the latest events, then at each step the events since the previous step.

        No event is left out. After the clock was set back, some events are repeated; their IDs
        identify them.

        Args:
            limit: Maximum number of events of the first step.
            filters: Members of an event and the values that they must have.
        """
        read_at = self._clock()
        seen = {event.id for event in self._since(read_at - _LONGEST_ACTION, filters)}
        events = self.page(limit=limit, filters=filters)[::-1]
        seen.update(event.id for event in events)
        while True:
            yield events
            # From the previous read on, however long ago; earlier if the clock was set back.
            previous, read_at = read_at, self._clock()
            recent = self._since(min(previous, read_at) - _LONGEST_ACTION, filters)
            events = [event for event in recent if event.id not in seen]
            seen = {event.id for event in recent}

    def _since(self, time: float, filters: Mapping[str, str]) -> list[AuditEvent]:
        with self._database.read() as connection:
            return store.since(connection, first_id_at(time), filters)
