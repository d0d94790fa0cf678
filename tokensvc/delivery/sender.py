"""
One sender: takes what is due, calls Stream, and writes down what came of it.

No transaction is open during a call. What becomes of a row is decided in `rules`; here is the order
of the calls: the most urgent first, a batch that is refused in halves, missing users apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from tokensvc.core.clock import Clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.delivery.batch import Batch
from tokensvc.delivery.caller import Call, Caller, KeyName
from tokensvc.delivery.leases import Leases
from tokensvc.delivery.outcome import OF_STREAM, Outcome, Result
from tokensvc.delivery.profile_store import Profile
from tokensvc.delivery.rules import APP, DeliveryState
from tokensvc.delivery.store import QUEUES, DueQueues, Queue, Wanted
from tokensvc.keys.rules import StreamKeyRing
from tokensvc.stream.api import MAX_USERS, KeyPair, StreamApi, StreamResponse, portions, user_ids_in

_ACTS = QUEUES[:3]
"""Between two calls for anything less urgent, they are looked for again."""

_OF_THE_BATCH = frozenset({Result.REFUSED, Result.ABSENT})


@dataclass(frozen=True, slots=True)
class _Job:
    """
    What is to be done with a batch.

    Attributes:
        do: Gives what came of it, and what is to be done then.
        at_once: Whatever else is due: it is the first call for a batch, or rests on an answer that
            gets old.
    """

    batch: Batch
    do: "_Do"
    at_once: bool = False


_Do: TypeAlias = Callable[[Batch], tuple[Outcome, list[_Job]]]


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
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._api = api
        self._due = DueQueues(database, host)
        self._limits: dict[Queue, int] = {}
        self._leases = Leases(database, clock, random_fraction, monotonic)
        self._caller = Caller(
            keep=self._leases.keep,
            ring_at=ring_at,
            random_fraction=random_fraction,
            monotonic=monotonic,
        )

    def refused_keys(self) -> Mapping[KeyName, str]:
        """Give the keys that Stream refused before it last took one, and its words."""
        return self._caller.refused_keys()

    def stop(self) -> None:
        """Let the call that is under way end, and no other begin: what it was not about is left."""
        self._caller.stop()

    def step(self) -> bool:
        """
        Do what is most urgent, and tell whether there was anything to do.

        Raises:
            Refusal: `temporarily_unavailable`. What was taken is taken up again when its lease
                has run out.
        """
        worked = False
        for queue in self._due.read():
            if self._caller.pause(queue.kind) > 0:
                continue
            if worked and self._is_overtaken(queue):
                break
            batch = self._leases.take(queue, self._limits.pop(queue, MAX_USERS))
            if not batch:
                continue
            worked = True
            self._deliver(queue, batch)
            if queue in _ACTS:
                break
        return worked

    def _deliver(self, queue: Queue, batch: Batch) -> None:
        """
        Do what is to be done with a batch and what comes of that, while Stream answers.

        For an act that is more urgent, or when Stream is to be left alone, the rest waits. The next
        batch is smaller then: else neither acts without end nor a limit that every answer uses up
        would ever let one that is refused be taken to pieces.
        """
        jobs = [_Job(batch, self._first(queue), at_once=True)]
        while jobs:
            if not jobs[-1].at_once and len(batch) > 1 and self._is_overtaken(queue):
                self._limits[queue] = len(batch) // 2
                self._release(jobs, Outcome(Result.NOT_ATTEMPTED))
                return
            if (pause := self._caller.pause(queue.kind)) > 0:
                self._limits[queue] = max(1, len(batch) // 2)
                self._release(
                    jobs, Outcome(Result.NOT_DELIVERED, "Stream is to be left alone", pause)
                )
                return
            job = jobs.pop()
            outcome, more = job.do(job.batch)
            jobs += more
            if outcome.result in OF_STREAM:
                self._release(jobs, replace(outcome, result=Result.NOT_DELIVERED))
                return

    def _release(self, jobs: list[_Job], outcome: Outcome) -> None:
        for job in jobs:
            self._leases.settle(job.batch, outcome)

    def _is_overtaken(self, queue: Queue) -> bool:
        """Tell whether an act is due that is more urgent, and Stream may be called for it."""
        urgent = _ACTS[: QUEUES.index(queue)]
        return bool(urgent) and any(
            each in urgent and self._caller.pause(each.kind) <= 0 for each in self._due.read()
        )

    def _first(self, queue: Queue) -> _Do:
        if queue.kind == "app":
            return self._set_app_cut_off
        if queue.kind == "profile":
            return self._sort_profiles
        return (
            self._separate_missing_users
            if queue.state is DeliveryState.ABSENT
            else self._try_cut_offs
        )

    def _set_app_cut_off(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        return self._tell(batch, lambda key, wanted: self._api.set_app_cut_off(key, wanted[APP]))

    def _try_cut_offs(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        """Take it that Stream has these users; if it refuses them, ask which."""
        called = self._caller.call(batch, self._api.set_cut_offs)
        if called.outcome.result in _OF_THE_BATCH:
            return called.outcome, [_Job(called.batch, self._separate_missing_users)]
        self._leases.settle(called.batch, called.outcome)
        return called.outcome, []

    def _separate_missing_users(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        """Put aside the users that Stream does not have."""
        batch, outcome, present = self._find(batch)
        if outcome.result is not Result.DONE:
            return outcome, []
        self._leases.settle(batch.of(batch.versions.keys() - present), Outcome(Result.ABSENT))
        return outcome, _answered((batch.of(present), self._set_cut_offs))

    def _set_cut_offs(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        return self._tell(batch, self._api.set_cut_offs)

    def _sort_profiles(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        """Change the users that Stream has, and create the others."""
        batch, outcome, present = self._find(batch)
        if outcome.result is not Result.DONE:
            return outcome, []
        new = batch.of(batch.versions.keys() - present)
        known = batch.of(present)
        return outcome, _answered((new, self._create_users), (known, self._change_users))

    def _create_users(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        def create(key: KeyPair, wanted: Mapping[str, Profile]) -> StreamResponse:
            return self._api.create_users(key, {each: wanted[each].set for each in wanted})

        return self._tell(batch, create, creates=True)

    def _change_users(self, batch: Batch) -> tuple[Outcome, list[_Job]]:
        def change(key: KeyPair, wanted: Mapping[str, Profile]) -> StreamResponse:
            return self._api.change_users(key, {each: _change(wanted[each]) for each in wanted})

        return self._tell(batch, change)

    def _tell(
        self, batch: Batch, call: Call, *, creates: bool = False
    ) -> tuple[Outcome, list[_Job]]:
        """Call for a batch; the halves of one that is refused are to be told."""
        called = self._caller.call(batch, call)
        if called.outcome.result in _OF_THE_BATCH and len(called.batch) > 1:
            again = partial(self._tell, call=call, creates=creates)
            return called.outcome, [_Job(half, again) for half in called.batch.halves()]
        self._leases.settle(called.batch, called.outcome, creates=creates)
        return called.outcome, []

    def _find(self, batch: Batch) -> tuple[Batch, Outcome, frozenset[str]]:
        """Give the users that Stream has; if it does not say, put all of them off."""
        outcome, present = Outcome(Result.DONE), frozenset[str]()
        for user_ids in portions(batch.versions):
            called = self._caller.call(batch, partial(self._ask_for, user_ids))
            batch, outcome = called.batch, called.outcome
            if outcome.result is not Result.DONE:
                if outcome.result not in {Result.KEY_REFUSED, Result.NOT_ATTEMPTED}:
                    outcome = replace(outcome, result=Result.NOT_DELIVERED)  # it changed nothing
                self._leases.settle(batch, outcome)
                break
            present |= user_ids_in(called.answer) if called.answer else frozenset()
        return batch, outcome, present & batch.versions.keys()

    def _ask_for(
        self, user_ids: list[str], key: KeyPair, _wanted: Mapping[str, Wanted]
    ) -> StreamResponse:
        return self._api.find_users(key, user_ids)


def _answered(*parts: tuple[Batch, _Do]) -> list[_Job]:
    """Give what is to be done with those whom Stream was asked for: the last at once."""
    jobs = [_Job(batch, do) for batch, do in parts if batch]
    return [*jobs[:-1], *(replace(job, at_once=True) for job in jobs[-1:])]


def _change(profile: Profile) -> dict[str, Any]:
    return {"set": profile.set, **({"unset": profile.unset} if profile.unset else {})}
