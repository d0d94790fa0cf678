"""
How erasures are claimed and sent: Stream deletes users in a task, which is asked for its end.

Stream refuses a deleted user at once. The task then deletes messages and conversations.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from tokensvc.audit.rules import Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Transaction
from tokensvc.standing import store as standings
from tokensvc.stream.api import TASK_DONE, TASK_FAILED
from tokensvc.stream.delivery import store
from tokensvc.stream.delivery.leases import Batch
from tokensvc.stream.delivery.rules import Delivery, DeliveryState, Queue
from tokensvc.stream.delivery.stream_calls import StreamCalls
from tokensvc.stream.responses import CallStatus, StreamResponse, printable

_SHORTEST_WAIT, _LONGEST_WAIT = 2, 60
"""Seconds before Stream is asked for a task again."""

_NOT_KNOWN = {CallStatus.UNKNOWN, CallStatus.NOT_DELIVERED, CallStatus.NOT_ATTEMPTED}


class Erasure(NamedTuple):
    """
    A user whom Stream must delete.

    Attributes:
        task: ID of the task that deletes the user, if Stream has one; empty if it has failed.
        wait: Seconds before Stream is asked for the task again: longer, the longer it takes.
        was_present: Whether Stream had the user when it got the cut-off.
        error: Error of the last attempt.
        cut_off: The user's cut-off in epoch seconds: no token from before it creates the user.
    """

    task: str | None
    wait: float
    was_present: bool
    error: str | None
    cut_off: int | None


def claim(tx: Transaction, rows: Collection[Delivery], now: float) -> dict[str, Erasure]:
    """Return what is known of users who are to be deleted."""
    subjects = [row.subject for row in rows]
    cut_offs = standings.stream_bounds(tx, subjects)
    told = store.statuses(tx, "user", subjects)
    return {
        row.subject: Erasure(
            task=row.task,
            wait=min(_LONGEST_WAIT, max(_SHORTEST_WAIT, (now - row.updated_at) / 2)),
            was_present=told[row.subject].state == DeliveryState.APPLIED,
            error=row.last_error,
            cut_off=cut_offs[row.subject],
        )
        for row in rows
    }


def send(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    """Ask for one task, or if no user has one, for the deletion of all users."""
    tasks = {user_id: wanted.task for user_id, wanted in batch.wanted.items() if wanted.task}
    task = next(iter(tasks.values()), None)
    if task is not None:
        return _ask(stream, batch.only([name for name in tasks if tasks[name] == task]), task)
    if queue.state is not DeliveryState.ABSENT:
        return _delete(stream, queue, batch)
    present, missing, unknown = stream.find_users(batch)
    deleted = _delete(stream, queue, present) if present else {}
    return {**unknown, **_without_user(missing), **deleted}


def record_end(tx: Transaction, changed: Collection[Delivery], now: float) -> None:
    """Write an event for each of the changed users whom Stream has deleted or never had."""
    context = ActionContext("service:delivery")
    for row in changed:
        if row.has_ended:
            details: Details = {"deleted_at_stream": row.state is DeliveryState.APPLIED}
            record(tx, context, Action.USER_ERASURE_DONE, row.subject, now=now, details=details)


def _delete(stream: StreamCalls, queue: Queue, batch: Batch) -> Mapping[str, StreamResponse]:
    response = stream.call(batch, stream.api.delete_users)
    if response.status is CallStatus.ABSENT and len(batch) == 1:
        return _without_user(batch)
    responses = stream.responses_for(queue, batch, response)
    if response.status is not CallStatus.DONE:
        return responses
    return _running(batch, response.content["task_id"])


def _ask(stream: StreamCalls, batch: Batch, task: str) -> Mapping[str, StreamResponse]:
    response = stream.call(batch, lambda key, _: stream.api.read_task(key, task))
    status = response.content.get("status")
    if response.status is CallStatus.ABSENT:
        return _running(batch, None)  # its result is too old: ask for the deletion again
    if response.status in _NOT_KNOWN or (
        response.status is CallStatus.DONE and status not in {TASK_DONE, TASK_FAILED}
    ):
        return _running(batch, task)
    if status == TASK_FAILED:
        error = printable(f"task {task} failed: {response.content.get('error')}")
        response = StreamResponse(CallStatus.REFUSED, error)
    return dict.fromkeys(batch.rows, response)


def _running(batch: Batch, task: str | None) -> dict[str, StreamResponse]:
    return {
        user_id: StreamResponse(CallStatus.RUNNING, wait=wanted.wait, task=task)
        for user_id, wanted in batch.wanted.items()
    }


def _without_user(batch: Batch) -> dict[str, StreamResponse]:
    """Return the responses for users whom Stream does not have."""
    return {user_id: _gone(wanted) for user_id, wanted in batch.wanted.items()}


def _gone(wanted: Erasure) -> StreamResponse:
    if wanted.task is not None:  # a task that failed may have left data
        return StreamResponse(CallStatus.REFUSED, wanted.error)
    return StreamResponse(CallStatus.DONE if wanted.was_present else CallStatus.ABSENT)
