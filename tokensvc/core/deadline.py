"""
Deadlines: of a call to another server, and of the request that a thread serves.

A request has one for its last wait. The worker of `tokensvc.server` begins it, so that the time in
its queue counts; under any other server the wrapper of all requests does, which also ends it. Code
that waits for the database asks for the rest of the time. A thread without a request has no
deadline: only each wait's own limit.
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


SHORTEST = 0.001
"""Shortest timeout of a socket in seconds: 0 would make it non-blocking."""


class Deadline:
    """
    The end of one or more exchanges with a server.

    Args:
        seconds: Time from now.
    """

    __slots__ = ("_end", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left, at least 0."""
        return max(0.0, self._end - time.monotonic())

    def timeout(self) -> float:
        """Return the seconds left as the timeout of a socket."""
        return max(SHORTEST, self._end - time.monotonic())

    def __str__(self) -> str:
        return f"no complete response within {self._seconds:g} s"


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
