"""
The breaker: while the database does not respond, refuse immediately instead of waiting for it.

Three consecutive connection failures open it. From then on nothing but its own thread connects:
ten times a second, until the database responds.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import structlog

from tokensvc.core import deadline
from tokensvc.core.errors import Refusal
from tokensvc.database.failures import cause_of, reason_of, unavailable_because

MAX_FAILURES: Final = 3
"""Consecutive connection failures that open the breaker."""
PROBE_SECONDS: Final = 0.1
"""
Seconds between the starts of two probes; a probe that takes longer delays the next. It stays short
during a long outage: a refused connection costs little, and mints wait for the next probe.
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BreakerState:
    """
    What the breaker has seen.

    Attributes:
        failures: Connection failures since the last success.
        is_open: Whether uses are refused.
    """

    failures: int = 0
    is_open: bool = False

    def after_failure(self) -> "BreakerState":
        """Return the state after a use failed to connect, or lost its connection."""
        failures = self.failures + 1
        return BreakerState(failures, is_open=self.is_open or failures >= MAX_FAILURES)

    def after_success(self) -> "BreakerState":
        """Return the state after the database responded to a use that began when it was closed."""
        return replace(self, failures=0)

    def after_probe(self) -> "BreakerState":
        """Return the state after the database responded to a probe."""
        return BreakerState()


class Breaker:
    """
    The breaker of one database in one process. Thread-safe.

    Args:
        is_failure: Function that returns whether an error is a connection failure.
        probe: Function that connects, and raises an exception if the database does not respond.
        disconnect: Function that closes idle connections: they are probably broken too.
    """

    def __init__(
        self,
        is_failure: Callable[[BaseException], bool],
        probe: Callable[[], None],
        disconnect: Callable[[], None],
    ) -> None:
        self._is_failure = is_failure
        self._probe = probe
        self._disconnect = disconnect
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self.state = BreakerState()

    def admit(self) -> None:
        """
        Allow one database operation, or refuse it.

        Raises:
            Refusal: `temporarily_unavailable` if the breaker is open or the request's time is over.
        """
        if self.state.is_open:
            raise unavailable_because("database: the breaker is open")
        if not deadline.remaining(1.0):
            raise unavailable_because("database: the time of the request is over")

    def succeed(self) -> None:
        """Record that the database responded."""
        if self.state.failures:
            with self._lock:
                self.state = self.state.after_success()

    def fail(self, error: Exception) -> None:
        """Record an error of a use. Only connection failures count."""
        if not self._is_failure(cause_of(error)):
            return
        with self._lock:
            was_open = self.state.is_open
            self.state = self.state.after_failure()
            if was_open or not self.state.is_open or self._stopping.is_set():
                return
        _log.warning(
            "database_breaker_opened",
            reason=reason_of(error),
            hint="the database does not respond: requests are refused until it does",
        )
        try:
            threading.Thread(target=self._probe_until_closed, name="breaker", daemon=True).start()
        except RuntimeError:  # the system allows no more threads, and without one it stays open
            with self._lock:
                self.state = BreakerState(MAX_FAILURES - 1)

    def stop(self) -> None:
        """End the probes."""
        self._stopping.set()

    def _probe_until_closed(self) -> None:
        opened_at = time.monotonic()
        self._disconnect()
        pause = PROBE_SECONDS
        while not self._stopping.wait(pause):
            began_at = time.monotonic()
            if self._responds():
                with self._lock:
                    self.state = self.state.after_probe()
                seconds = round(time.monotonic() - opened_at, 1)
                _log.info("database_breaker_closed", seconds=seconds)
                return
            pause = max(0.0, began_at + PROBE_SECONDS - time.monotonic())

    def _responds(self) -> bool:
        try:
            self._probe()
        except Refusal:
            return False
        except Exception as error:  # noqa: BLE001 - no failure may end the probes
            _log.debug("database_probe_failed", reason=type(error).__name__)
            return False
        return True
