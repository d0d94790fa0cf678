"""How the cut-offs of the app and of users are claimed and sent."""

from collections.abc import Collection, Mapping

from tokensvc.core.actions import APP
from tokensvc.database.engine import Transaction
from tokensvc.standing import store as standings
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.rules import APP_SUBJECT, Delivery, DeliveryState, Queue
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.responses import CallStatus, StreamResponse

_ABSENT = StreamResponse(CallStatus.ABSENT)


def claim_app(tx: Transaction, _rows: Collection[Delivery], _now: float) -> dict[str, int | None]:
    """Return the cut-off of the app."""
    return {APP_SUBJECT: standings.read(tx, APP).tokens_valid_after}


def send_app(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """Send the cut-off of the app."""

    def call(key: StreamKey, wanted: Mapping[str, int | None]) -> StreamResponse:
        return stream.api.set_app_cut_off(key, wanted[APP_SUBJECT])

    return stream.send(queue, batch, call)


def claim_users(tx: Transaction, rows: Collection[Delivery], _now: float) -> dict[str, int | None]:
    """Return users' cut-offs."""
    return standings.stream_bounds(tx, [row.subject for row in rows])


def send_users(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """
    Send users' cut-offs; pending ones without a query.

    If Stream does not have one of the users, the next step queries.
    """
    if queue.state is not DeliveryState.PENDING:
        return _find_and_send(stream, queue, batch)
    if stream.has_missing_users:
        stream.has_missing_users = False
        return _find_and_send(stream, queue, batch)
    response = stream.call(batch, stream.api.set_cut_offs)
    if response.status is CallStatus.ABSENT and len(batch) > 1:
        stream.has_missing_users = True
        return {}
    return stream.responses_for(queue, batch, response)


def _find_and_send(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """Query which of the users Stream has, and send the cut-offs of those."""
    present, missing, unknown = stream.find_users(batch)
    sent = stream.send(queue, present, stream.api.set_cut_offs) if present else {}
    return {**unknown, **dict.fromkeys(missing.rows, _ABSENT), **sent}
