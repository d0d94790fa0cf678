"""
The deadline of the request that a thread serves: when its last wait must have ended.

The worker of `tokensvc.server` begins it, so that the time in its queue counts; under any other
server the wrapper of all requests does, which also ends it. Code that waits for the database asks
for the rest of the time. A thread without a request has no deadline: only each wait's own limit.
"""

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REQUEST_SECONDS = 5.0
"""Time from the arrival of the whole request to the response."""

RESPONSE_SECONDS = 0.5
"""Part of it that follows the last wait, to give up the statement and to write the response."""


class _Thread(threading.local):
    deadline = math.inf


_this_thread = _Thread()


def begin(since: float, seconds: float = REQUEST_SECONDS - RESPONSE_SECONDS) -> None:
    """
    Set the deadline of this thread's waits.

    Args:
        since: Arrival of the request, on the monotonic clock.
        seconds: Time for all waits.
    """
    _this_thread.deadline = since + seconds


def ensure(since: float) -> None:
    """Set the deadline of this thread's waits, unless the server has set it."""
    if _this_thread.deadline == math.inf:
        begin(since)


@contextmanager
def suspended() -> Iterator[None]:
    """Move the deadline by the time of a block that waits with limits of its own."""
    began_at, due = time.monotonic(), _this_thread.deadline
    _this_thread.deadline = math.inf
    try:
        yield
    finally:
        _this_thread.deadline = due + time.monotonic() - began_at


def end() -> None:
    """Remove the deadline."""
    _this_thread.deadline = math.inf


def remaining(limit: float) -> float:
    """Return the seconds that the next wait may take: at most `limit`, at least 0."""
    return max(0.0, min(limit, _this_thread.deadline - time.monotonic()))
