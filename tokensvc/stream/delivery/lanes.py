"""
The lanes: the kinds of deliveries, the most urgent first.

A new kind of delivery is one entry here, and one more value of `DeliveryKind` and of its column.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, NamedTuple

from tokensvc.database.engine import Transaction
from tokensvc.stream.api import HINT_ENDPOINT, MAX_USERS
from tokensvc.stream.delivery import cut_offs, erasures, reach, user_objects
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.reach_store import follow_cut_offs
from tokensvc.stream.delivery.rules import Delivery, DeliveryKind, DeliveryState, Queue, Wanted
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.responses import StreamResponse


class Lane(NamedTuple):
    """
    The deliveries of one kind.

    Attributes:
        kind: Name of the lane, in rows and in metrics.
        claim: Function that returns the states that Stream must hold, by subject, in the
            transaction that leases rows. Its arguments: the rows before the lease, and the time.
        send: Function that calls Stream for a batch, and returns the response by subject. Rows
            without one are released.
        endpoint: Endpoint of Stream's rate limit under which each batch counts.
        urgent: States whose rows go first, in the order of the lanes.
        in_turn: States whose rows take turns with those of other lanes, after all urgent ones.
        max_rows: Maximum number of rows in one batch.
        follow: Function that writes what follows from deliveries whose state has changed, in the
            transaction of their result. Its arguments: these rows after it, and the time.
    """

    kind: DeliveryKind
    claim: Callable[[Transaction, Collection[Delivery], float], Mapping[str, Wanted]]
    send: Callable[[StreamCalls, Queue, Batch], Mapping[str, StreamResponse]]
    endpoint: str
    urgent: tuple[DeliveryState, ...] = ()
    in_turn: tuple[DeliveryState, ...] = ()
    max_rows: int = MAX_USERS
    follow: Callable[[Transaction, Collection[Delivery], float], None] = lambda *_: None


_PENDING, _FAILED, _ABSENT = DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ABSENT

LANES: Final = (
    Lane(
        "app",
        cut_offs.claim_app,
        cut_offs.send_app,
        "PATCH /app",
        urgent=(_PENDING, _FAILED),
    ),
    Lane(
        "user",
        cut_offs.claim_users,
        cut_offs.send_users,
        "PATCH /users",
        urgent=(_PENDING,),
        in_turn=(_FAILED, _ABSENT),
        follow=follow_cut_offs,
    ),
    Lane(
        "profile",
        user_objects.claim,
        user_objects.send,
        "PATCH /users",
        in_turn=(_PENDING, _FAILED),
    ),
    Lane(
        "hint",
        reach.claim,
        reach.send_hint,
        HINT_ENDPOINT,
        in_turn=(_PENDING,),
        max_rows=1,
    ),
    Lane(
        "devices",
        reach.claim,
        reach.remove_device,
        "GET /devices",
        in_turn=(_PENDING, _FAILED),
        max_rows=1,
    ),
    Lane(
        "erasure",
        erasures.claim,
        erasures.send,
        "POST /users/delete",
        in_turn=(_PENDING, _FAILED, _ABSENT),
        follow=erasures.record_end,
    ),
)
"""All lanes, the most urgent first."""

LANE_OF: Final[Mapping[DeliveryKind, Lane]] = {lane.kind: lane for lane in LANES}

RENEWALS: Final = Queue("user", DeliveryState.PENDING, is_renewal=True)
"""Renewals are in the rows of the users' cut-offs, because Stream has one time for both."""

CUT_OFFS: Final = Queue("user", DeliveryState.PENDING)
"""Users' cut-offs that Stream lacks. Renewals fill their calls."""

URGENT: Final = (
    *(Queue(lane.kind, state) for lane in LANES for state in lane.urgent),
    RENEWALS,
)
"""Queues that go first, in this order."""

IN_TURN: Final = tuple(Queue(lane.kind, state) for lane in LANES for state in lane.in_turn)
"""Queues that take turns after the urgent ones."""

QUEUES: Final = URGENT + IN_TURN
"""All queues with something to send."""
