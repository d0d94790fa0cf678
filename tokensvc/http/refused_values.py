"""Refused values of a request header, each logged once, so that an operator can allow it."""

import threading

import structlog

MAX_VALUES = 100
"""Values of one header that a process logs: clients choose them."""

_log = structlog.get_logger(__name__)


class RefusedValues:
    """
    Logs each refused value of a header once.

    Args:
        event: Event of the log line.
        field: Field of the log line that contains the value.
        hint: What the operator can do.
    """

    def __init__(self, event: str, field: str, hint: str) -> None:
        self._event = event
        self._field = field
        self._hint = hint
        self._logged: set[str] = set()
        self._mutex = threading.Lock()

    def log(self, value: str) -> None:
        """Log a well-formed value, unless it was logged before or too many others were."""
        with self._mutex:
            if value in self._logged or len(self._logged) >= MAX_VALUES:
                return
            self._logged.add(value)
        _log.warning(self._event, **{self._field: value}, hint=self._hint)
