"""Calls for a batch: with which key, and how soon after the last one."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import structlog

from tokensvc.core.errors import Refusal
from tokensvc.delivery import rules
from tokensvc.delivery.batch import Batch
from tokensvc.delivery.outcome import OF_STREAM, Outcome, Result, outcome_of
from tokensvc.delivery.rules import DeliveryKind, Pace
from tokensvc.delivery.store import Wanted
from tokensvc.keys.rules import StreamKey, StreamKeyRing, fingerprint
from tokensvc.stream.api import KeyPair, StreamResponse
from tokensvc.telemetry import metrics

_log = structlog.get_logger(__name__)

Call: TypeAlias = Callable[[KeyPair, Mapping[str, Wanted]], StreamResponse]


_SILENT = frozenset({Result.UNKNOWN, Result.NOT_DELIVERED})


class KeyName(NamedTuple):
    """What a key is known by: a regenerated secret is another key with the same `api_key`."""

    api_key: str
    fingerprint: str

    @classmethod
    def of(cls, key: StreamKey) -> "KeyName":
        """Name a key."""
        return cls(key.api_key, fingerprint(key.secret))


@dataclass(frozen=True, slots=True)
class Called:
    """
    What came of a call.

    Attributes:
        batch: What the call was for: less than was asked for, if the rest is not ours any more.
    """

    batch: Batch
    outcome: Outcome
    answer: StreamResponse | None = None


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
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._keep = keep
        self._ring_at = ring_at
        self._chance = random_fraction
        self._monotonic = monotonic
        self._paces: defaultdict[DeliveryKind, Pace] = defaultdict(Pace)
        self._refused_keys: dict[KeyName, str] = {}
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Begin no other call."""
        self._stopping.set()

    def refused_keys(self) -> Mapping[KeyName, str]:
        """Give the keys that Stream refused before it last took one, and its words."""
        return self._refused_keys

    def pause(self, kind: DeliveryKind) -> float:
        """Give the seconds that are left until the next call."""
        return self._paces[kind].not_before - self._monotonic()

    def call(self, batch: Batch, call: Call) -> Called:
        """Call with the active key, or with another if Stream does not take that one."""
        answer, outcome = (
            None,
            Outcome(Result.NOT_DELIVERED, "There is no Stream key to call with."),
        )
        refused: dict[KeyName, str] = {}
        # Looked at anew for each key: a call may take long enough for a lease or a key to end.
        while batch := self._keep(batch):
            try:
                key = self._next_key(batch.ring_version, refused)
            except Refusal as refusal:
                outcome = Outcome(Result.NOT_DELIVERED, refusal.detail)
                break
            if key is None:
                break
            if self._stopping.is_set():
                return Called(batch, Outcome(Result.NOT_ATTEMPTED))
            answer = call(KeyPair(key.api_key, key.secret), batch.wanted)
            outcome = outcome_of(answer)
            if outcome.result is not Result.KEY_REFUSED:
                break
            name = KeyName.of(key)
            refused[name] = outcome.error or ""
            _log.error("stream_refuses_key", **name._asdict(), detail=outcome.error)
        else:
            return Called(batch, Outcome(Result.DONE))
        self._note(batch.kind, outcome, refused)
        return Called(batch, outcome, answer)

    def _next_key(self, ring_version: int, tried: Collection[KeyName]) -> StreamKey | None:
        keys = rules.keys_to_try(self._ring_at(ring_version))
        return next((key for key in keys if KeyName.of(key) not in tried), None)

    def _note(self, kind: DeliveryKind, outcome: Outcome, refused: Mapping[KeyName, str]) -> None:
        # Without a word of Stream's, what it said before still stands.
        before = self._refused_keys if outcome.result in _SILENT else {}
        self._refused_keys = {**before, **refused}
        pace = self._paces[kind]
        self._paces[kind] = rules.next_pace(pace, outcome, self._monotonic(), self._chance())
        metrics.count_stream_call(kind, outcome.result)
        if outcome.result in OF_STREAM:
            _log.warning("stream_not_told", kind=kind, detail=outcome.error)
