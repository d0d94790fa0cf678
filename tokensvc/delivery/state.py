"""How far a state has come on its way to Stream, as it is answered."""

import msgspec

from tokensvc.delivery.store import DeliveryStatus

NOT_SENT = "not_sent"
"""In place of a delivery's state, where Stream is not told at all."""


class StreamStatus(msgspec.Struct, frozen=True):
    """
    Delivery of a state to Stream.

    Attributes:
        state: Delivery state. `applied`: Stream has the state. `pending`: not yet confirmed.
            `failed`: the last attempt failed; it is retried. `absent`: Stream does not have the
            user; it is checked again. `moot`: the user never appeared, and every token from before
            the cut-off has expired. `not_sent`: delivery is off (`stream.delivery`).
        updated_at: Time of the last change of `state`, in epoch seconds, or `null` if nothing was
            ever sent.
        last_error: Error of the last attempt, if it failed.
    """

    state: str
    updated_at: int | None
    last_error: str | None


def stream_status(delivery: DeliveryStatus | None) -> StreamStatus:
    """Give what is answered; without a delivery, that Stream is not told."""
    if delivery is None:
        return StreamStatus(NOT_SENT, None, None)
    return StreamStatus(delivery.state, delivery.updated_at, delivery.last_error)
