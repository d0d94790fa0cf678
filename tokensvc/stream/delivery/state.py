"""The progress of a state on its way to Stream, as responses show it."""

import msgspec

from tokensvc.stream.delivery.rules import DeliveryState


class StreamStatus(msgspec.Struct, frozen=True):
    """
    Delivery of a state to Stream.

    Attributes:
        state: Delivery state. `applied`: Stream has the state. `pending`: not yet confirmed.
            `failed`: the last attempt failed; it is retried. `absent`: Stream does not have the
            user; it is checked again. `obsolete`: the user never appeared, and every token from
            before the cut-off has expired. `none`: there was never anything to send. `not_sent`:
            delivery is off (`stream.delivery`).
        updated_at: Time of the last change of `state`, in epoch seconds, or `null` if nothing was
            ever sent, or not for `audit.retention`.
        last_error: Error of the last attempt, if it failed.
    """

    state: str
    updated_at: int | None
    last_error: str | None


NOT_SENT = StreamStatus("not_sent", None, None)
"""The status of everything if delivery is off."""

NEVER_SENT = StreamStatus("none", None, None)
"""The status of a user or the app without any action."""

NOTHING_TO_DELIVER = StreamStatus(DeliveryState.APPLIED, None, None)
