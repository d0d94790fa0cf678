"""The leases of one sender: which rows it may send now, and the result of its calls for them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import structlog

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.limits.rules import MICROSECONDS, gcra
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring, RingVersion
from tokensvc.stream.delivery import due_store, rules, store
from tokensvc.stream.delivery.pace import Budget
from tokensvc.stream.delivery.rules import (
    CALL_WITHIN_SECONDS,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Queue,
    Wanted,
)
from tokensvc.stream.responses import CallStatus, StreamResponse

_NOT_ATTEMPTED = StreamResponse(CallStatus.NOT_ATTEMPTED)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Rows that one sender has leased together.

    Attributes:
        rows: Leased rows by subject.
        wanted: State that Stream must hold, by subject; consistent with the rows' versions.
        call_before: Latest start of a call, in seconds of a monotonic clock.
        ring_version: Version of the key ring; only a key that it has is used.
    """

    kind: DeliveryKind
    rows: Mapping[str, Delivery]
    wanted: Mapping[str, Wanted]
    call_before: float
    ring_version: RingVersion

    def __len__(self) -> int:
        return len(self.rows)

    def cut_off_of(self, subject: str) -> int | None:
        """Return the cut-off of a user for whom Stream is asked again until it has passed."""
        wanted = self.wanted[subject]
        cut_off: int | None = wanted if self.kind == "user" else getattr(wanted, "cut_off", None)
        return cut_off

    def only(self, subjects: Collection[str]) -> "Batch":
        """Return the part of the batch with these subjects."""
        rows = {subject: row for subject, row in self.rows.items() if subject in subjects}
        return replace(self, rows=rows, wanted={subject: self.wanted[subject] for subject in rows})


class Leases:
    """
    Leases rows and applies the results of calls.

    Args:
        database_clock: Clock that decides what is due.
        budget_of: Function that returns the budget of an endpoint.
        random_fraction: Function that returns a random number from 0 to 1.
        monotonic: Function that returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        database: Database,
        database_clock: DatabaseClock,
        budget_of: Callable[[str], Budget],
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._budget_of = budget_of
        self._not_before: dict[str, float] = {}
        self._database = database
        self._clock = database_clock
        self._random_fraction = random_fraction
        self._monotonic = monotonic

    def acquire(
        self,
        queue: Queue,
        claim: Callable[[Transaction, Collection[Delivery], float], Mapping[str, Wanted]],
        endpoint: str,
        limit: int,
        fill: Queue | None = None,
    ) -> Batch | None:
        """
        Lease rows that are due in a queue and that no other sender has, for one call.

        Args:
            claim: `claim` of the queue's lane.
            endpoint: `endpoint` of the queue's lane.
            limit: Maximum number of rows.
            fill: Less urgent queue of the same lane, whose rows fill the call.

        Returns:
            `None` if there are no rows, or if the budget of the endpoint is used up.
        """
        if self._monotonic() < self._not_before.get(endpoint, 0.0):
            return None
        period, burst = self._budget_of(endpoint)
        with self._database.write() as tx:
            unused_at = due_store.lock_budget(tx, endpoint)  # before the time is read
            now = self._clock.read(tx)
            microseconds = int(now * MICROSECONDS)
            decision = gcra(unused_at, microseconds, period, burst)
            if not decision.allowed:
                wait = (decision.backlog - period * (burst - 1)) / MICROSECONDS
                self._not_before[endpoint] = self._monotonic() + wait
                return None
            call_before = self._monotonic() + CALL_WITHIN_SECONDS
            found = due_store.lock_due(tx, queue, now, limit)
            if not found:
                return None
            if fill is not None and len(found) < limit:
                found += due_store.lock_due(tx, fill, now, limit - len(found))
            due_store.write_budget(tx, endpoint, microseconds + decision.backlog + period)
            rows = {row.subject: rules.lease(row, now) for row in found}
            store.save(tx, rows.values())
            return Batch(
                kind=queue.kind,
                rows=rows,
                wanted=claim(tx, found, now),
                call_before=call_before,
                ring_version=ring_versions.read(tx, Ring.STREAM),
            )

    def finish(
        self,
        batch: Batch,
        responses: Mapping[str, StreamResponse],
        follow: Callable[[Transaction, Collection[Delivery], float], None] = lambda *_: None,
    ) -> None:
        """
        Apply the results of calls and end the leases.

        Args:
            responses: Response by subject; rows without one stay as they are and due.
            follow: `follow` of the batch's lane.
        """
        with self._database.write() as tx:
            before = store.lock(tx, batch.kind, batch.rows)
            now = self._clock.read(tx)
            after = [
                rules.apply_outcome(
                    row,
                    batch.rows[row.subject],
                    responses.get(row.subject, _NOT_ATTEMPTED),
                    now=now,
                    random_fraction=self._random_fraction(),
                    cut_off=batch.cut_off_of(row.subject),
                )
                for row in before
            ]
            store.save(tx, after)
            if changed := _changed(before, after):
                follow(tx, changed, now)
            for status in (CallStatus.DONE, CallStatus.UNKNOWN):
                replaced = [
                    subject
                    for subject, response in responses.items()
                    if response.replaces_users and response.status is status
                ]
                store.mark_resend(tx, replaced, now, resend=status is CallStatus.UNKNOWN)
        _report(before, after)


def _changed(before: list[Delivery], after: list[Delivery]) -> list[Delivery]:
    """Return the rows that have another state than before."""
    return [new for old, new in zip(before, after, strict=True) if new.state is not old.state]


def _report(before: list[Delivery], after: list[Delivery]) -> None:
    """Log the deliveries that have reached Stream, and those that need an operator."""
    changed = _changed(before, after)
    for state, event, log in (
        (DeliveryState.APPLIED, "delivery_applied", _log.info),
        (DeliveryState.FAILED, "delivery_failed", _log.error),
    ):
        rows = [row for row in changed if row.state is state]
        if rows:
            log(
                event,
                kind=rows[0].kind,
                count=len(rows),
                subjects=[row.subject for row in rows[:5]],
                detail=rows[0].last_error,
            )
