"""The calls to Stream for a batch: which key signs them, their size, and the pause between them."""

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Refusal
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.api import MAX_USERS, StreamApi, fitting_ids, user_ids_in
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.pace import Pace, next_pace
from tokensvc.stream.delivery.rules import DeliveryKind, Queue, Wanted
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing, keys_to_try
from tokensvc.stream.responses import CallStatus, StreamResponse
from tokensvc.telemetry import metrics

_log = structlog.get_logger(__name__)

Call: TypeAlias = Callable[[StreamKey, Mapping[str, Wanted]], StreamResponse]

_KEY_NOT_CHECKED = frozenset({CallStatus.UNKNOWN, CallStatus.NOT_DELIVERED})
_NO_EFFECT = frozenset({CallStatus.KEY_REFUSED, CallStatus.NOT_ATTEMPTED})
_FAILED_CALLS = _KEY_NOT_CHECKED | {CallStatus.KEY_REFUSED}


class StreamCalls:
    """
    Calls Stream with each key that is not retired until it accepts one.

    Args:
        ring_at: Function that returns the key ring of a version.
        random_fraction: Function that returns a random number from 0 to 1.
        monotonic: Function that returns seconds of a monotonic clock.

    Attributes:
        batch_sizes: Maximum size of the next batch of each queue.
        has_missing_users: Whether Stream lacked a user of the last batch that was not queried.
    """

    def __init__(
        self,
        api: StreamApi,
        *,
        ring_at: Callable[[RingVersion], StreamKeyRing],
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self.api = api
        self.batch_sizes: defaultdict[Queue, int] = defaultdict(lambda: MAX_USERS)
        self.has_missing_users = False
        self._ring_at = ring_at
        self._random_fraction = random_fraction
        self._monotonic = monotonic
        self._paces: defaultdict[DeliveryKind, Pace] = defaultdict(Pace)
        self._refused_keys: dict[tuple[str, str], str] = {}
        self._failing: set[DeliveryKind] = set()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Start no more calls; the current one ends as usual."""
        self._stopping.set()

    def refused_keys(self) -> Mapping[tuple[str, str], str]:
        """
        Return Stream's messages about the keys that it refused since it last accepted one.

        Each key is an API key with the fingerprint of its secret.
        """
        return self._refused_keys

    def may_call(self, kind: DeliveryKind) -> bool:
        """Return whether a call for deliveries of a kind may begin now."""
        is_paused = self._paces[kind].not_before > self._monotonic()
        return not is_paused and not self._stopping.is_set()

    def call(self, batch: Batch, call: Call) -> StreamResponse:
        """Call with the active key. While Stream refuses the key, call again with the next one."""
        response = StreamResponse(CallStatus.NOT_DELIVERED, "The service has no Stream key.")
        refused: dict[tuple[str, str], str] = {}
        try:
            keys = keys_to_try(self._ring_at(batch.ring_version))
        except Refusal as refusal:
            keys, response = [], StreamResponse(CallStatus.NOT_DELIVERED, refusal.detail)
        for key in keys:
            if self._stopping.is_set():
                return StreamResponse(CallStatus.NOT_ATTEMPTED)
            if self._monotonic() >= batch.call_before:
                response = StreamResponse(
                    CallStatus.NOT_DELIVERED, "The lease has no time left for a call."
                )
                break
            response = call(key, batch.wanted)
            if response.status is not CallStatus.KEY_REFUSED:
                break
            name = key.api_key, key.fingerprint
            refused[name] = response.error or ""
            if name not in self._refused_keys:
                _log.error(
                    "stream_key_refused",
                    api_key=key.api_key,
                    fingerprint=key.fingerprint,
                    detail=response.error,
                )
        self._record_call(batch.kind, response, refused)
        return response

    def find_users(self, batch: Batch) -> tuple[Batch, Batch, Mapping[str, StreamResponse]]:
        """
        Query which users of a batch Stream has, as many as fit into one query.

        Returns:
            The part of users that Stream has, the part that it does not have, and if the query
            fails, only the response for each user.
        """
        batch = batch.only(fitting_ids(batch.rows))
        found = self.call(batch, lambda key, _: self.api.find_users(key, batch.rows))
        if found.status is not CallStatus.DONE:
            if found.status not in _NO_EFFECT:
                found = replace(found, status=CallStatus.NOT_DELIVERED)
            return batch.only(()), batch.only(()), dict.fromkeys(batch.rows, found)
        present = batch.only(user_ids_in(found))
        return present, batch.only(batch.rows.keys() - present.rows.keys()), {}

    def send(self, queue: Queue, batch: Batch, call: Call) -> Mapping[str, StreamResponse]:
        """Call for a batch, and return what `responses_for` returns."""
        return self.responses_for(queue, batch, self.call(batch, call))

    def responses_for(
        self, queue: Queue, batch: Batch, response: StreamResponse
    ) -> Mapping[str, StreamResponse]:
        """
        Choose the size of the next batch, and return the response for each subject.

        If Stream refuses a batch, no row has a response, and the next batch is half as large. In
        the end only the row that Stream does not accept fails.
        """
        if response.status.is_about_content and len(batch) > 1:
            self.batch_sizes[queue] = len(batch) // 2
            return {}
        if response.status is CallStatus.DONE:
            self.batch_sizes[queue] = min(MAX_USERS, 2 * self.batch_sizes[queue])
        return dict.fromkeys(batch.rows, response)

    def _record_call(
        self, kind: DeliveryKind, response: StreamResponse, refused: Mapping[tuple[str, str], str]
    ) -> None:
        # If the call did not reach Stream, keys that it refused before still count as refused.
        before = self._refused_keys if response.status in _KEY_NOT_CHECKED else {}
        self._refused_keys = {**before, **refused}
        self._log_change(kind, response)
        self._paces[kind] = next_pace(
            self._paces[kind], response, self._monotonic(), self._random_fraction()
        )
        metrics.count_stream_call(kind, response.status)

    def _log_change(self, kind: DeliveryKind, response: StreamResponse) -> None:
        """Log the first of several failed calls, and the first call that succeeds again."""
        was_failing = kind in self._failing
        if response.status in _FAILED_CALLS:
            self._failing.add(kind)
            if not was_failing:
                _log.warning("stream_call_failed", kind=kind, detail=response.error)
        elif was_failing:
            self._failing.discard(kind)
            _log.info("stream_call_recovered", kind=kind)
