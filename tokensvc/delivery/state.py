"""How far a state has come on its way to Stream, as it is answered."""

import msgspec

from tokensvc.delivery.store import DeliveryStatus

NOT_SENT = "not_sent"
"""In place of a delivery's state, where Stream is not told at all."""


class StreamStatus(msgspec.Struct, frozen=True):
    """How far a state has come on its way to Stream. Times are epoch seconds."""

    state: str
    updated_at: int | None
    last_error: str | None


def stream_status(delivery: DeliveryStatus | None) -> StreamStatus:
    """Give what is answered; without a delivery, that Stream is not told."""
    if delivery is None:
        return StreamStatus(NOT_SENT, None, None)
    return StreamStatus(delivery.state, delivery.updated_at, delivery.last_error)
