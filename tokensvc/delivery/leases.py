"""The rows that a sender takes, keeps while it is at them, and writes down what came of."""

from collections.abc import Callable

import structlog

from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.delivery import rules, store
from tokensvc.delivery.batch import Batch
from tokensvc.delivery.outcome import Outcome, Result
from tokensvc.delivery.rules import RENEW_AFTER, Delivery, DeliveryKind, DeliveryState, Sent
from tokensvc.delivery.store import Queue
from tokensvc.standing import store as standings

_log = structlog.get_logger(__name__)


class Leases:
    """
    One sender's leases. Every method raises `Refusal` when the database fails.

    Args:
        clock: The database's: it decides what is due and whose a row is.
        chance: Gives a random number from 0 to 1.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        database: Database,
        clock: DatabaseClock,
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._clock = clock
        self._chance = random_fraction
        self._monotonic = monotonic

    def take(self, queue: Queue, limit: int) -> Batch:
        """Take some of what is due in a queue and nobody else's."""
        with self._database.write() as tx:
            now = self._clock.read(tx)
            found = store.due(tx, queue, now, limit)
            rows = [rules.lease(row, now) for row in found]
            store.save(tx, rows)
            if queue.kind == "profile":
                # The sender that is gone may have created them, and wiped their cut-offs.
                lost = [row.subject for row in found if row.lease_until is not None]
                store.mark_resend(tx, lost, now, resend=True)
            return self._batch(tx, queue.kind, rows, now)

    def keep(self, batch: Batch) -> Batch:
        """Give what is still ours of a batch, read anew if need be, with the time for a call."""
        if not batch or self._monotonic() < batch.send_by:
            return batch
        with self._database.write() as tx:
            rows = store.lock(tx, batch.kind, batch.versions)
            now = self._clock.read(tx)
            ours = [row for row in rows if row.lease_until == batch.lease_until]
            ours = [rules.renewed(row, now) for row in ours]
            store.save(tx, ours)
            return self._batch(tx, batch.kind, ours, now)

    def settle(self, batch: Batch, outcome: Outcome, *, creates: bool = False) -> None:
        """
        Write down what came of a batch, and let go of it.

        Args:
            creates: Whether the call was one that may have replaced users whole.
        """
        if not batch:
            return
        with self._database.write() as tx:
            before = store.lock(tx, batch.kind, batch.versions)
            now = self._clock.read(tx)
            after = [self._settled(batch, row, outcome, now) for row in before]
            store.save(tx, after)
            if creates and outcome.result in {Result.DONE, Result.UNKNOWN}:
                lost = outcome.result is Result.UNKNOWN
                store.mark_resend(tx, batch.versions, now, resend=lost)
        _report(before, after)

    def _batch(
        self, tx: Transaction, kind: DeliveryKind, rows: list[Delivery], now: float
    ) -> Batch:
        subjects = [row.subject for row in rows]
        return Batch(
            kind=kind,
            lease_until=(rows[0].lease_until or 0) if rows else 0,
            taken_at=now,
            send_by=self._monotonic() + RENEW_AFTER,
            versions={row.subject: row.version for row in rows},
            wanted=store.wanted(tx, kind, subjects) if rows else {},
            ring_version=standings.ring_version(tx),
        )

    def _settled(self, batch: Batch, row: Delivery, outcome: Outcome, now: float) -> Delivery:
        return rules.apply_outcome(
            row,
            Sent(batch.versions[row.subject], batch.lease_until, batch.taken_at),
            outcome,
            now=now,
            random_fraction=self._chance(),
            cut_off=batch.wanted[row.subject] if batch.kind == "user" else None,
        )


def _report(before: list[Delivery], after: list[Delivery]) -> None:
    """Log what has been brought over, and what somebody must look at."""
    changed = [new for old, new in zip(before, after, strict=True) if new.state is not old.state]
    for state, log in ((DeliveryState.APPLIED, _log.info), (DeliveryState.FAILED, _log.error)):
        rows = [row for row in changed if row.state is state]
        if rows:
            log(
                f"delivery_{state}",
                kind=rows[0].kind,
                count=len(rows),
                subjects=[row.subject for row in rows[:5]],
                detail=rows[0].last_error,
            )
