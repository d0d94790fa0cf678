"""
One sender: takes what is due, calls Stream, and writes down what came of it.

No transaction is open during a call. What becomes of a row is decided in `rules`; here is the order
of the calls: the most urgent first, a batch that is refused in halves, missing users apart.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import structlog

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database, Transaction
from tokensvc.delivery import rules, store
from tokensvc.delivery.batch import Batch
from tokensvc.delivery.outcome import Outcome, Result, outcome_of
from tokensvc.delivery.profile_store import Profile
from tokensvc.delivery.rules import (
    APP,
    LEASE,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Pace,
    Sent,
)
from tokensvc.delivery.store import QUEUES, DueQueues, Queue, Wanted
from tokensvc.keys.rules import StreamKeyRing
from tokensvc.stream.api import MAX_USERS, Answer, KeyPair, StreamApi, user_ids_in
from tokensvc.telemetry import metrics

_log = structlog.get_logger(__name__)

_Call: TypeAlias = Callable[[KeyPair, Mapping[str, Wanted]], Answer]

_ACTS = QUEUES[:3]
"""Before anything else is done, they are looked for again."""

_OF_THE_BATCH = frozenset({Result.REFUSED, Result.ABSENT})
_OF_STREAM = frozenset({Result.UNKNOWN, Result.UNREACHED, Result.KEY_REFUSED})


class Sender:
    """
    Brings deliveries over, one step at a time. There may be any number of senders.

    Args:
        clock: The database's: it decides what is due and whose a row is.
        ring_at: Gives the ring of Stream keys, not older than a version.
        host: Seconds since the epoch on this host.
        chance: Gives a random number from 0 to 1.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: DatabaseClock,
        ring_at: Callable[[int], StreamKeyRing],
        api: StreamApi,
        host: Clock,
        chance: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._clock = clock
        self._ring_at = ring_at
        self._api = api
        self._chance = chance
        self._monotonic = monotonic
        self._due = DueQueues(database, host)
        self._paces: defaultdict[DeliveryKind, Pace] = defaultdict(Pace)
        self._refused_keys: dict[str, str] = {}

    def refused_keys(self) -> Mapping[str, str]:
        """Give the API keys that Stream refused when they were last used, and its words."""
        return dict(self._refused_keys)

    def step(self) -> bool:
        """
        Do what is most urgent, and tell whether there was anything to do.

        Raises:
            Refusal: `temporarily_unavailable`. What was taken is taken up again when its lease
                has run out.
        """
        worked = False
        for queue in self._due.read():
            if self._pause(queue.kind) > 0:
                continue
            batch = self._claim(queue)
            if batch is None:
                continue
            worked = True
            self._deliver(queue, batch)
            if queue in _ACTS:
                break
        return worked

    def _pause(self, kind: DeliveryKind) -> float:
        """Give the seconds that are left until the next call."""
        return self._paces[kind].not_before - self._monotonic()

    def _claim(self, queue: Queue) -> Batch | None:
        with self._database.write() as tx:
            now = self._clock.read(tx)
            found = store.due(tx, queue, now, MAX_USERS)
            rows = [rules.claimed(row, now) for row in found]
            store.save(tx, rows)
            if queue.kind == "profile":
                # The sender that is gone may have created them, and wiped their cut-offs.
                lost = [row.subject for row in found if row.lease_until is not None]
                store.differ(tx, lost, now, resend=True)
            return self._batch(tx, queue.kind, rows, now)

    def _held(self, batch: Batch) -> Batch | None:
        """Give what is still ours of a batch, with the time for a call."""
        if self._monotonic() < batch.send_by:
            return batch
        with self._database.write() as tx:
            rows = store.lock(tx, batch.kind, batch.versions)
            now = self._clock.read(tx)
            ours = [row for row in rows if row.lease_until == batch.lease_until]
            ours = [rules.renewed(row, now) for row in ours]
            store.save(tx, ours)
            return self._batch(tx, batch.kind, ours, now)

    def _batch(
        self, tx: Transaction, kind: DeliveryKind, rows: list[Delivery], now: float
    ) -> Batch | None:
        if not rows:
            return None
        subjects = [row.subject for row in rows]
        return Batch(
            kind=kind,
            lease_until=rows[0].lease_until or 0,
            taken_at=now,
            send_by=self._monotonic() + LEASE / 2,
            versions={row.subject: row.version for row in rows},
            wanted=store.wanted(tx, kind, subjects),
            ring_version=store.ring_version(tx),
        )

    def _deliver(self, queue: Queue, batch: Batch) -> None:
        if queue.kind == "app":
            self._bring(batch, lambda key, wanted: self._api.set_app_cut_off(key, wanted[APP]))
        elif queue.kind == "profile":
            self._deliver_profiles(batch)
        elif queue.state is not DeliveryState.ABSENT:
            self._bring(batch, self._api.set_cut_offs, may_be_absent=True)
        elif present := self._without_absent(batch):
            self._bring(present, self._api.set_cut_offs)

    def _deliver_profiles(self, batch: Batch) -> None:
        present = self._find(batch)
        if present is None:
            return
        if known := batch.of(present):
            self._bring(known, self._change_users)
        if new := batch.of(batch.versions.keys() - present):
            self._bring(new, self._create_users, creates=True)

    def _bring(
        self, batch: Batch, call: _Call, *, may_be_absent: bool = False, creates: bool = False
    ) -> None:
        """Call for a batch, and for halves of it as long as something in it is refused."""
        parts = [batch]
        while parts:
            if (pause := self._pause(batch.kind)) > 0:
                self._put_off(parts, Outcome(Result.UNREACHED, "Stream is to be left alone", pause))
                return
            part = self._held(parts.pop())
            if part is None:
                continue
            outcome, _ = self._call(part, call)
            if outcome.result in _OF_THE_BATCH and may_be_absent:
                may_be_absent = False
                present = self._without_absent(part)
                parts += [present] if present else []
            elif outcome.result in _OF_THE_BATCH and len(part) > 1:
                parts += part.halves()
            else:
                self._settle(part, outcome, creates=creates)
            if outcome.result in _OF_STREAM:
                self._put_off(parts, outcome)
                return

    def _put_off(self, parts: list[Batch], outcome: Outcome) -> None:
        """Let go of what was not sent."""
        for part in parts:
            self._settle(part, replace(outcome, result=Result.UNREACHED))

    def _without_absent(self, batch: Batch) -> Batch | None:
        """Put aside the users that Stream does not have."""
        present = self._find(batch)
        if present is None:
            return None
        if absent := batch.of(batch.versions.keys() - present):
            self._settle(absent, Outcome(Result.ABSENT))
        return batch.of(present) or None

    def _find(self, batch: Batch) -> frozenset[str] | None:
        """Give the users that Stream has; if it does not say, put all of them off."""
        outcome, answer = self._call(batch, self._api.find_users)
        if outcome.result is Result.DONE and answer is not None:
            return user_ids_in(answer) & batch.versions.keys()
        if outcome.result is not Result.KEY_REFUSED:  # a question changes nothing
            outcome = replace(outcome, result=Result.UNREACHED)
        self._settle(batch, outcome)
        return None

    def _call(self, batch: Batch, call: _Call) -> tuple[Outcome, Answer | None]:
        """Call with the active key, or with another if Stream does not take that one."""
        answer, outcome = None, Outcome(Result.UNREACHED, "There is no Stream key to call with.")
        try:
            keys = rules.keys_to_try(self._ring_at(batch.ring_version))
        except Refusal as refusal:
            keys, outcome = [], replace(outcome, error=refusal.detail)
        known = {key.api_key for key in keys}
        self._refused_keys = {k: v for k, v in self._refused_keys.items() if k in known}
        for key in keys:
            answer = call(KeyPair(key.api_key, key.secret), batch.wanted)
            outcome = outcome_of(answer)
            if outcome.result is not Result.KEY_REFUSED:
                self._refused_keys.pop(key.api_key, None)
                break
            self._refused_keys[key.api_key] = outcome.error or ""
            _log.error("stream_refuses_key", api_key=key.api_key, detail=outcome.error)
        pace = self._paces[batch.kind]
        self._paces[batch.kind] = rules.paced(pace, outcome, self._monotonic(), self._chance())
        metrics.count_stream_call(batch.kind, outcome.result)
        if outcome.result in _OF_STREAM:
            _log.warning("stream_not_told", kind=batch.kind, detail=outcome.error)
        return outcome, answer

    def _settle(self, batch: Batch, outcome: Outcome, *, creates: bool = False) -> None:
        with self._database.write() as tx:
            before = store.lock(tx, batch.kind, batch.versions)
            now = self._clock.read(tx)
            after = [self._settled(batch, row, outcome, now) for row in before]
            store.save(tx, after)
            if creates and outcome.result in {Result.DONE, Result.UNKNOWN}:
                lost = outcome.result is Result.UNKNOWN
                store.differ(tx, batch.versions, now, resend=lost)
        _report(before, after)

    def _settled(self, batch: Batch, row: Delivery, outcome: Outcome, now: float) -> Delivery:
        return rules.settled(
            row,
            Sent(batch.versions[row.subject], batch.lease_until, batch.taken_at),
            outcome,
            now=now,
            chance=self._chance(),
            cut_off=batch.wanted[row.subject] if batch.kind == "user" else None,
        )

    def _create_users(self, key: KeyPair, wanted: Mapping[str, Profile]) -> Answer:
        return self._api.create_users(key, {each: wanted[each].set for each in wanted})

    def _change_users(self, key: KeyPair, wanted: Mapping[str, Profile]) -> Answer:
        changes = {
            user_id: {"set": profile.set, **({"unset": profile.unset} if profile.unset else {})}
            for user_id, profile in wanted.items()
        }
        return self._api.change_users(key, changes)


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
