"""Outages in the log: one line when requests begin to get 503, and one when that has ended."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

import structlog

QUIET_SECONDS = 30.0
"""Time without a 503 after which an outage has ended."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Outage:
    began_at: float
    last_at: float
    refused: int = 0


class Outages:
    """
    The causes for which this process refuses requests. Thread-safe.

    Args:
        monotonic: Monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._by_cause: dict[str, _Outage] = {}

    def record(self, status: int, reason: str) -> None:
        """
        Record the response to a request, and log the outages that begin or have ended.

        Args:
            status: HTTP status code.
            reason: Reason of a 503; its text before a colon is the cause. Without one, the request
                succeeds within a second, and it is not an outage.
        """
        is_refused = status == HTTPStatus.SERVICE_UNAVAILABLE and reason != ""
        if not is_refused and not self._by_cause:
            return
        now = self._monotonic()
        with self._lock:
            quiet_since = now - QUIET_SECONDS
            ended = [c for c, outage in self._by_cause.items() if outage.last_at <= quiet_since]
            outages = {cause: self._by_cause.pop(cause) for cause in ended}
            cause, begins = reason.partition(":")[0], False
            if is_refused:
                begins = cause not in self._by_cause
                outage = self._by_cause.setdefault(cause, _Outage(now, now))
                outage.last_at, outage.refused = now, outage.refused + 1
        for name, outage in outages.items():
            seconds = round(outage.last_at - outage.began_at, 1)
            _log.info("outage_ended", cause=name, seconds=seconds, refused=outage.refused)
        if begins:
            hint = "requests get 503 until it ends; each has its line, at level info"
            _log.warning("outage_began", cause=cause, reason=reason, hint=hint)
