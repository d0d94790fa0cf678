"""How the devices of a user are removed, and how their connected clients get a hint."""

from collections.abc import Collection, Mapping

from tokensvc.database.engine import Transaction
from tokensvc.stream.api import device_ids_in
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.rules import Delivery, Queue
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.responses import CallStatus, StreamResponse


def claim(_tx: Transaction, rows: Collection[Delivery], _now: float) -> dict[str, None]:
    """Return the users. There is no state to read."""
    return dict.fromkeys(row.subject for row in rows)


def send_hint(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """Send a hint to the connected clients of one user."""
    (user_id,) = batch.rows
    return stream.send(queue, batch, lambda key, _: stream.api.send_hint(key, user_id))


def remove_device(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """
    Remove one device of one user. If there are more, the row is due after those of other users.

    Each step lists the devices again: what the last step did may be unknown. After a failure it is
    another device's turn, so that none that Stream does not remove protects the others.
    """
    (user_id,) = batch.rows
    listed = stream.call(batch, lambda key, _: stream.api.list_devices(key, user_id))
    devices = device_ids_in(listed)  # none if the call failed
    if not devices:
        return stream.responses_for(queue, batch, listed)
    device_id = devices[batch.rows[user_id].attempts % len(devices)]
    removed = stream.call(batch, lambda key, _: stream.api.delete_device(key, user_id, device_id))
    is_removed = removed.status in {CallStatus.DONE, CallStatus.ABSENT}
    if is_removed:
        removed = StreamResponse(CallStatus.RUNNING if len(devices) > 1 else CallStatus.DONE)
    return {user_id: removed}
