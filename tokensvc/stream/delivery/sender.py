"""
The sender: leases a batch of the queue, calls Stream, and applies the result.

The queue in the database is the only work list. No transaction is open during a call. Rows that a
step leases and does not send are released and stay due, so that the next step can choose again what
is most urgent.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from tokensvc.core.clock import Clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.standing.rules import RingVersion
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery.lanes import CUT_OFFS, IN_TURN, LANE_OF, RENEWALS, URGENT
from tokensvc.stream.delivery.leases import Leases
from tokensvc.stream.delivery.pace import budget_of
from tokensvc.stream.delivery.queue_store import read_due
from tokensvc.stream.delivery.rules import Queue
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.keys.rules import StreamKeyRing


class Sender:
    """
    Sends deliveries, one batch at a time. Any number of senders can share a database.

    Args:
        database_clock: Clock that decides what is due.
        ring_at: Function that returns the key ring of a version.
        share: Share of Stream's rate limits for deliveries.
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
        share: float,
        clock: Clock,
        random_fraction: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._due = partial(read_due, database, clock)
        self._leases = Leases(
            database,
            database_clock,
            lambda endpoint: budget_of(api.limit_of(endpoint), share),
            random_fraction,
            monotonic,
        )
        self._stream = StreamCalls(
            api, ring_at=ring_at, random_fraction=random_fraction, monotonic=monotonic
        )
        self._taking_turns = list(IN_TURN)

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
            lane = LANE_OF[queue.kind]
            limit = min(lane.max_rows, self._stream.batch_sizes[queue])
            # Renewals would wait while cut-offs use up Stream's limits. After a refusal, the next
            # call has cut-offs only: a renewal that Stream refuses must not be in each of them.
            fill = RENEWALS if queue == CUT_OFFS and limit == lane.max_rows else None
            batch = self._leases.acquire(queue, lane.claim, lane.endpoint, limit, fill)
            if batch:
                responses = lane.send(self._stream, queue, batch)
                self._leases.finish(batch, responses, lane.follow)
                return True
        return False

    def _ready(self) -> Iterator[Queue]:
        """Yield the queues in which something is due and may be sent now, in their order."""
        due = {queue for queue in self._due() if self._stream.may_call(queue.kind)}
        for queue in [*URGENT, *self._taking_turns]:
            if queue in due:
                if queue in self._taking_turns:
                    self._taking_turns.remove(queue)
                    self._taking_turns.append(queue)
                yield queue
