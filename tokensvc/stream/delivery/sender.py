"""
The sender: leases a batch of the queue, calls Stream, and applies the result.

The queue in the database is the only work list. No transaction is open during a call. Rows that a
step leases and does not send are released and stay due, so that the next step can choose again what
is most urgent.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from tokensvc.core import stream_user
from tokensvc.core.clock import Clock
from tokensvc.core.errors import Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.api import MAX_USERS, StreamApi, fitting_ids, user_ids_in
from tokensvc.stream.delivery.leases import Batch, Leases
from tokensvc.stream.delivery.profile_store import Profile
from tokensvc.stream.delivery.queue_store import QUEUES, Queue, read_due
from tokensvc.stream.delivery.rules import APP_SUBJECT, DeliveryState
from tokensvc.stream.delivery.stream_calls import Call, StreamCalls
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.responses import CallStatus, StreamResponse

_URGENT = QUEUES[:3]
"""Queues of cut-offs that Stream has not refused. They go first; the other queues take turns."""

_ABSENT = StreamResponse(CallStatus.ABSENT)
_NO_EFFECT = frozenset({CallStatus.KEY_REFUSED, CallStatus.NOT_ATTEMPTED})


class Sender:
    """
    Sends deliveries, one batch at a time. Any number of senders can share a database.

    Args:
        database_clock: Clock that decides what is due.
        ring_at: Function that returns the key ring of a version.
        clock: This host's clock, in epoch seconds.
        random_fraction: Function that returns a random number from 0 to 1.
        monotonic: Function that returns seconds of a monotonic clock.
    """

    def __init__(
        self,
        *,
        database: Database,
        database_clock: DatabaseClock,
        ring_at: Callable[[RingVersion], StreamKeyRing],
        api: StreamApi,
        clock: Clock,
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._api = api
        self._due = partial(read_due, database, clock)
        self._leases = Leases(database, database_clock, random_fraction, monotonic)
        self._stream = StreamCalls(
            ring_at=ring_at, random_fraction=random_fraction, monotonic=monotonic
        )
        self._taking_turns = list(QUEUES[3:])
        self._batch_sizes: dict[Queue, int] = dict.fromkeys(QUEUES, MAX_USERS)
        self._has_missing_users = False

    def refused_keys(self) -> Mapping[tuple[str, str], str]:
        """Return what `StreamCalls.refused_keys` returns."""
        return self._stream.refused_keys()

    def stop(self) -> None:
        """Start no more calls; the current one ends as usual, and unsent rows are released."""
        self._stream.stop()

    def step(self) -> bool:
        """
        Send one batch of the most urgent queue, and return whether there was one.

        If the database fails, leased rows are sent again when the lease expires.
        """
        for queue in self._ready():
            batch = self._leases.acquire(queue, self._batch_sizes[queue])
            if batch:
                self._leases.finish(batch, self._deliver(queue, batch))
                return True
        return False

    def _ready(self) -> Iterator[Queue]:
        """Yield the queues in which something is due and may be sent now, in their order."""
        due = {queue for queue in self._due() if self._stream.may_call(queue.kind)}
        for queue in [*_URGENT, *self._taking_turns]:
            if queue in due:
                if queue in self._taking_turns:
                    self._taking_turns.remove(queue)
                    self._taking_turns.append(queue)
                yield queue

    def _deliver(self, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
        """Call Stream for a batch, and return the response by subject; the rest is released."""
        if queue.kind == "app":
            return self._send(queue, batch, self._set_app_cut_off)
        if queue.kind == "user" and queue.state is DeliveryState.PENDING:
            return self._send_to_users(queue, batch)
        if queue.kind == "profile":
            refused = _refused_profiles(batch)
            if refused:
                return refused
        return self._find_and_send(queue, batch)

    def _send_to_users(self, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
        """Send without a query. If Stream does not have one of the users, the next step queries."""
        if self._has_missing_users:
            self._has_missing_users = False
            return self._find_and_send(queue, batch)
        response = self._stream.call(batch, self._api.set_cut_offs)
        if response.status is CallStatus.ABSENT and len(batch) > 1:
            self._has_missing_users = True
            return {}
        return self._responses_for(queue, batch, response)

    def _find_and_send(self, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
        """Query which of the users Stream has, then make one call: for those, or for the others."""
        batch = batch.only(fitting_ids(batch.rows))
        found = self._stream.call(batch, lambda key, _: self._api.find_users(key, batch.rows))
        if found.status is not CallStatus.DONE:
            if found.status not in _NO_EFFECT:
                found = replace(found, status=CallStatus.NOT_DELIVERED)
            return dict.fromkeys(batch.rows, found)
        present = batch.only(user_ids_in(found))
        missing = batch.only(batch.rows.keys() - present.rows.keys())
        if queue.kind == "user":
            sent = self._send(queue, present, self._api.set_cut_offs) if present else {}
            return {**dict.fromkeys(missing.rows, _ABSENT), **sent}
        if present:
            return self._send(queue, present, self._change_users)
        return self._send(queue, missing, self._create_users)

    def _send(self, queue: Queue, batch: Batch, call: Call) -> Mapping[str, StreamResponse]:
        return self._responses_for(queue, batch, self._stream.call(batch, call))

    def _responses_for(
        self, queue: Queue, batch: Batch, response: StreamResponse
    ) -> Mapping[str, StreamResponse]:
        """
        Choose the size of the next batch, and return the response for each subject.

        If Stream refuses a batch, no row has a response, and the next batch is half as large. In
        the end only the row that Stream does not accept fails.
        """
        if response.status.is_about_content and len(batch) > 1:
            self._batch_sizes[queue] = len(batch) // 2
            return {}
        if response.status is CallStatus.DONE:
            self._batch_sizes[queue] = min(MAX_USERS, 2 * self._batch_sizes[queue])
        return dict.fromkeys(batch.rows, response)

    def _set_app_cut_off(self, key: StreamKey, wanted: Mapping[str, int | None]) -> StreamResponse:
        return self._api.set_app_cut_off(key, wanted[APP_SUBJECT])

    def _create_users(self, key: StreamKey, wanted: Mapping[str, Profile]) -> StreamResponse:
        users = {user_id: profile.set for user_id, profile in wanted.items()}
        return self._api.create_users(key, users)

    def _change_users(self, key: StreamKey, wanted: Mapping[str, Profile]) -> StreamResponse:
        changes = {user_id: _change(profile) for user_id, profile in wanted.items()}
        return self._api.change_users(key, changes)


def _refused_profiles(batch: Batch) -> Mapping[str, StreamResponse]:
    """Check stored profiles again: the checks may be stricter than when they were stored."""
    refused = {}
    for user_id, profile in batch.wanted.items():
        try:
            stream_user.check({"id": user_id, **profile.set}, user_id, by_server=True)
            for name in profile.unset:
                stream_user.check_name(name)
        except Refusal as refusal:
            refused[user_id] = StreamResponse(CallStatus.REFUSED, refusal.detail)
    return refused


def _change(profile: Profile) -> dict[str, Any]:
    return {"set": profile.set, **({"unset": profile.unset} if profile.unset else {})}
