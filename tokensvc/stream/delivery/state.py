"""The progress of a state on its way to Stream, as responses show it."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from tokensvc.stream.delivery.rules import Delivery, DeliveryKind, DeliveryState


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
        devices: Removal of the user's devices at Stream, so that they get no push notifications.
            `pending`, `applied`, `failed` (it is retried), `absent`: it waits with the cut-off
            until Stream has the user, or `obsolete`: it ended with the cut-off, Stream has deleted
            the user, or the action was undone. Missing without an action that removes devices.
        notified: Hint to the user's connected clients to check their access. `pending`, `applied`:
            sent, `failed`: three tries failed, it is not repeated, or `absent` and `obsolete` as
            for `devices`. Missing without an action that sends a hint.
    """

    state: str
    updated_at: int | None
    last_error: str | None
    devices: str | UnsetType = UNSET
    notified: str | UnsetType = UNSET


class ErasureStatus(msgspec.Struct, frozen=True):
    """
    Erasure of a user.

    Attributes:
        state: Progress at Stream. `pending`: Stream was not asked yet, or does not have the user,
            whom a token from before could still create. `running`: Stream's task deletes the data.
            `done`: Stream has deleted the user, or never had the user. `failed`: the last attempt
            failed; it is retried.
        requested_at: Time of the erasure here, in epoch seconds. Since then the ID is refused.
        done_at: Time of its end at Stream, in epoch seconds; `null` before, and `audit.retention`
            after it.
        last_error: Error of the last attempt, if it failed.
    """

    state: Literal["pending", "running", "done", "failed"]
    requested_at: int
    done_at: int | None
    last_error: str | None


def erasure_status(requested_at: int, row: Delivery | None) -> ErasureStatus:
    """
    Return the status of an erasure.

    Args:
        requested_at: Epoch seconds.
        row: Its delivery; `None` if it ended so long ago that it is purged.
    """
    if row is None or row.has_ended:
        done_at = None if row is None else row.updated_at
        return ErasureStatus("done", requested_at, done_at, None)
    state: Literal["failed", "running", "pending"] = "running" if row.task else "pending"
    if row.state is DeliveryState.FAILED:
        state = "failed"
    return ErasureStatus(state, requested_at, None, row.last_error)


NOT_SENT = StreamStatus("not_sent", None, None)
"""The status of everything if delivery is off."""

NEVER_SENT = StreamStatus("none", None, None)
"""The status of a user or the app without any action."""

NOTHING_TO_DELIVER = StreamStatus(DeliveryState.APPLIED, None, None)


def with_progress(
    status: StreamStatus,
    kind: DeliveryKind,
    state: str,
    updated_at: int,
    last_error: str | None,
) -> StreamStatus:
    """Return a status with the progress of one of the deliveries that it shows."""
    if kind == "devices":
        return msgspec.structs.replace(status, devices=state)
    if kind == "hint":
        is_given_up = state == DeliveryState.OBSOLETE and last_error is not None
        notified = DeliveryState.FAILED if is_given_up else state
        return msgspec.structs.replace(status, notified=notified)
    return msgspec.structs.replace(
        status, state=state, updated_at=updated_at, last_error=last_error
    )
