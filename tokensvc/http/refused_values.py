"""Refused values of a request header, each logged once, so that an operator can allow it."""

import threading
from collections.abc import Callable

import structlog

MAX_VALUES = 100
"""Values of one header that a process logs: clients choose them."""

_log = structlog.get_logger(__name__)


def refused_value_log(event: str, field: str, hint: str) -> Callable[[str], None]:
    """
    Return a function that logs a well-formed value, unless it did before or has logged too many.

    Args:
        event: Event of the log line.
        field: Field of the log line that contains the value.
        hint: What the operator can do.
    """
    logged: set[str] = set()
    mutex = threading.Lock()

    def log(value: str) -> None:
        with mutex:
            if value in logged or len(logged) >= MAX_VALUES:
                return
            logged.add(value)
        _log.warning(event, **{field: value}, hint=hint)

    return log
