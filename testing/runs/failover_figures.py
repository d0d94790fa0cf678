"""What the responses of a failover show."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

PROMISED_SECONDS = 3.0
"""Longest time from the promotion to a mint, as `docs/high-availability.md` says."""
SUCCEEDED, REFUSED, UNAVAILABLE = "succeeded", "refused", "unavailable"


class Kind(StrEnum):
    MINT = "mints"
    REFUSED_MINT = "mints of refused users"
    ACTION = "actions"
    REFRESH = "refreshes"


class Request(NamedTuple):
    """
    A request with its result.

    Attributes:
        worker: Number of the worker.
        subject: User ID, or the refresh token that was presented.
        result: `succeeded`, `refused`, `unavailable`, or the description of another result.
        sent: Time before the request.
        received: Time after the response.
        successor: Refresh token in the response.
    """

    kind: Kind
    worker: int
    subject: str
    result: str
    sent: float
    received: float
    successor: str = ""


@dataclass
class Figures:
    """
    Figures of one case. Times are those of a monotonic clock.

    Attributes:
        name: Name of the case.
        workers: Number of workers.
        requests: All requests.
        stalled_at: Time from which the standby received nothing; infinite if commits wait for it.
        failed_at: Time when the primary no longer responded.
        promoted_at: Time of the call that promoted the standby.
        lost_actions: Users whose acknowledged action the new primary lacks.
        lost_sessions: Refresh tokens whose successor the new primary refuses.
    """

    name: str
    workers: int
    requests: list[Request]
    stalled_at: float
    failed_at: float
    promoted_at: float
    lost_actions: set[str]
    lost_sessions: set[str]

    @property
    def holds(self) -> bool:
        """Whether the fault was real, mints were back in time, and only what may be lost was."""
        return (
            {each.worker for each in self._during_the_fault()} == {*range(self.workers)}
            and not self.answered_during_the_fault
            and max(self.recoveries) - self.promoted_at <= PROMISED_SECONDS
            and not self.failures
            and not self.tokens_for_refused(lost=False)
            and not self.double_successors
            and bool(self.lost) == (self.stalled_at < self.failed_at)
            and all(each.received > self.stalled_at for each in self.lost)
        )

    @property
    def answered_during_the_fault(self) -> int:
        """Number of responses that needed a database, between the fault and the promotion."""
        return sum(
            each.received < self.promoted_at and each.result != UNAVAILABLE
            for each in self._during_the_fault()
        )

    @property
    def recoveries(self) -> list[float]:
        """Time of each worker's first token that was requested after the fault."""
        mints = [
            each
            for each in self.requests
            if each.kind is Kind.MINT and each.result == SUCCEEDED and each.sent >= self.failed_at
        ]
        return [
            min((each.received for each in mints if each.worker == worker), default=math.inf)
            for worker in range(self.workers)
        ]

    @property
    def failures(self) -> list[Request]:
        """Requests with a result that no client should see at this moment."""
        recoveries = self.recoveries

        def is_expected(each: Request) -> bool:
            if each.result == UNAVAILABLE:
                return each.received >= self.failed_at and each.sent < recoveries[each.worker]
            return each.result == SUCCEEDED or (
                each.result == REFUSED and each.kind is Kind.REFUSED_MINT
            )

        return [each for each in self.requests if not is_expected(each)]

    @property
    def double_successors(self) -> int:
        """Number of refresh tokens that were exchanged for two different ones."""
        exchanges = {(each.subject, each.successor) for each in self._acknowledged(Kind.REFRESH)}
        return len(exchanges) - len({subject for subject, _ in exchanges})

    @property
    def lost(self) -> list[Request]:
        """Acknowledged actions and refreshes that the new primary lacks."""
        return [
            each
            for kind, lost in (
                (Kind.ACTION, self.lost_actions),
                (Kind.REFRESH, self.lost_sessions),
            )
            for each in self._acknowledged(kind)
            if each.subject in lost
        ]

    def tokens_for_refused(self, *, lost: bool) -> int:
        """Return the number of tokens for users whose acknowledged action was kept, or was lost."""
        return sum(
            (each.subject in self.lost_actions) is lost
            for each in self._acknowledged(Kind.REFUSED_MINT)
        )

    def lines(self) -> Iterator[str]:
        """Yield the figures as text."""
        results = Counter(each.result for each in self.requests)
        yield (
            f"{self.name}: {len(self.requests)} sent to {self.workers} workers, "
            f"{results[SUCCEEDED]} succeeded, {results[REFUSED]} of refused users, "
            f"{results[UNAVAILABLE]} got 503, {len(self.failures)} failed"
        )
        seconds = [moment - self.promoted_at for moment in self.recoveries]
        gap = self.promoted_at - self.failed_at
        yield (
            f"  mints are back {min(seconds):.1f} to {max(seconds):.1f} s after the promotion, "
            f"which is {gap:.1f} s after the fault; "
            f"{self.answered_during_the_fault} of {len(self._during_the_fault())} requests "
            "between them were answered"
        )
        yield (
            f"  {len(self._acknowledged(Kind.ACTION))} actions acknowledged, "
            f"{len(self.lost_actions)} lost; tokens for refused users: "
            f"{self.tokens_for_refused(lost=False)}, after lost actions: "
            f"{self.tokens_for_refused(lost=True)}"
        )
        yield (
            f"  {len(self._acknowledged(Kind.REFRESH))} refreshes acknowledged, "
            f"{self.double_successors} double successors, {len(self.lost_sessions)} sessions lost"
        )
        if self.lost:
            earliest = self.failed_at - min(each.received for each in self.lost)
            stalled = self.failed_at - self.stalled_at
            yield (
                f"  the standby received nothing for {stalled:.2f} s before the fault; the first "
                f"that was lost was acknowledged {earliest:.2f} s before it"
            )
        yield from (f"  FAILED {failure}" for failure in self.failures[:5])

    def _during_the_fault(self) -> list[Request]:
        return [each for each in self.requests if self.failed_at <= each.sent < self.promoted_at]

    def _acknowledged(self, kind: Kind) -> list[Request]:
        return [each for each in self.requests if (each.kind, each.result) == (kind, SUCCEEDED)]
