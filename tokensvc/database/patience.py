"""Waiting for a connection of this process while the server refuses a further one."""

import time
from collections.abc import Callable
from typing import TypeVar

from tokensvc.core import deadline
from tokensvc.database.failures import ExhaustedError, cause_of

_SECONDS = 5.0
"""Limit of a wait without a request."""
_PAUSES = (0.01, 0.25)
"""Seconds before the second attempt, and at most: an attempt costs the server a process."""

T = TypeVar("T")


def connect_patiently(connect: Callable[[], T]) -> T:
    """
    Return a connection. Wait for an idle one of this process while the server has no further one.

    Args:
        connect: Function that returns an idle connection, or else a new one.

    Raises:
        Exception: That of `connect`. A wait ends with the deadline of the request.
    """
    give_up_at = time.monotonic() + deadline.remaining(_SECONDS)
    pause, max_pause = _PAUSES
    while True:
        try:
            return connect()
        except Exception as error:
            left = give_up_at - time.monotonic()
            if left <= 0 or not isinstance(cause_of(error), ExhaustedError):
                raise
        time.sleep(min(pause, left))
        pause = min(2 * pause, max_pause)
