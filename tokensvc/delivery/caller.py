"""Calls for a batch: with which key, and how soon after the last one."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from tokensvc.core.errors import Refusal
from tokensvc.delivery import rules
from tokensvc.delivery.batch import Batch
from tokensvc.delivery.outcome import OF_STREAM, Outcome, Result, outcome_of
from tokensvc.delivery.rules import DeliveryKind, Pace
from tokensvc.delivery.store import Wanted
from tokensvc.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.api import Answer, KeyPair
from tokensvc.telemetry import metrics

_log = structlog.get_logger(__name__)

Call: TypeAlias = Callable[[KeyPair, Mapping[str, Wanted]], Answer]


@dataclass(frozen=True, slots=True)
class Called:
    """
    What came of a call.

    Attributes:
        batch: What the call was for: less than was asked for, if the rest is not ours any more.
    """

    batch: Batch
    outcome: Outcome
    answer: Answer | None = None


class Caller:
    """
    Calls Stream with every key that is not retired until one is taken; not any more once stopped.

    Args:
        keep: Gives what is still ours of a batch, with the time for a call.
        ring_at: Gives the ring of Stream keys, not older than a version.
        chance: Gives a random number from 0 to 1.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        keep: Callable[[Batch], Batch],
        ring_at: Callable[[int], StreamKeyRing],
        chance: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._keep = keep
        self._ring_at = ring_at
        self._chance = chance
        self._monotonic = monotonic
        self._paces: defaultdict[DeliveryKind, Pace] = defaultdict(Pace)
        self._refused_keys: dict[str, str] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Begin no other call."""
        self._stopping.set()

    def refused_keys(self) -> Mapping[str, str]:
        """Give the API keys that Stream refused when they were last used, and its words."""
        return dict(self._refused_keys)

    def pause(self, kind: DeliveryKind) -> float:
        """Give the seconds that are left until the next call."""
        return self._paces[kind].not_before - self._monotonic()

    def call(self, batch: Batch, call: Call) -> Called:
        """Call with the active key, or with another if Stream does not take that one."""
        answer, outcome = None, Outcome(Result.UNREACHED, "There is no Stream key to call with.")
        tried: list[StreamKey] = []
        # Looked at anew for each key: a call may take long enough for a lease or a key to end.
        while batch := self._keep(batch):
            try:
                key = self._next_key(batch.ring_version, tried)
            except Refusal as refusal:
                outcome = Outcome(Result.UNREACHED, refusal.detail)
                break
            if key is None:
                break
            if self._stopping.is_set():
                return Called(batch, Outcome(Result.LEFT))
            tried.append(key)
            answer = call(KeyPair(key.api_key, key.secret), batch.wanted)
            outcome = outcome_of(answer)
            if outcome.result is not Result.KEY_REFUSED:
                self._refused_keys.pop(key.api_key, None)
                break
            self._refused_keys[key.api_key] = outcome.error or ""
            _log.error("stream_refuses_key", api_key=key.api_key, detail=outcome.error)
        else:
            return Called(batch, Outcome(Result.DONE))
        self._note(batch.kind, outcome)
        return Called(batch, outcome, answer)

    def _next_key(self, ring_version: int, tried: Collection[StreamKey]) -> StreamKey | None:
        keys = rules.keys_to_try(self._ring_at(ring_version))
        known = {key.api_key for key in keys}
        self._refused_keys = {k: v for k, v in self._refused_keys.items() if k in known}
        return next((key for key in keys if key not in tried), None)

    def _note(self, kind: DeliveryKind, outcome: Outcome) -> None:
        pace = self._paces[kind]
        self._paces[kind] = rules.paced(pace, outcome, self._monotonic(), self._chance())
        metrics.count_stream_call(kind, outcome.result)
        if outcome.result in OF_STREAM:
            _log.warning("stream_not_told", kind=kind, detail=outcome.error)
