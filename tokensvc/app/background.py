"""The one kind of thread that repeats a step. `loops.py` has the table of all loops."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.errors import Refusal
from tokensvc.telemetry import gauges

FAILURE_PAUSE: Final = 2.0
"""Minimum seconds between a failed step and the next, unless a wake-up ends the pause."""

_log = structlog.get_logger(__name__)


class BackgroundLoop:
    """
    Calls a step in a thread until `stop`; no failure of a step ends it.

    Args:
        name: Name of the thread, and of the loop in the log.
        step: Function to call. It returns true if there is more to do immediately.
        interval: Seconds between two steps.
        pause: Seconds before the next step if there is more to do.
        steps_on_stop: Whether `stop` runs the step once more.
        wake_up: Event that ends a pause; of one running loop only.
        clock: Clock of this host, for the metric of the next step.
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], bool | None],
        interval: float,
        *,
        pause: float = 0.0,
        steps_on_stop: bool = False,
        wake_up: threading.Event | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._name = name
        self._step = step
        self._interval = interval
        self._pause = pause
        self._steps_on_stop = steps_on_stop
        self._clock = clock
        self._failure: type[Exception] | None = None
        self._wake_up = wake_up or threading.Event()
        self._is_stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. The first step runs immediately."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the current step and end the thread."""
        self._is_stopping = True
        if self._thread is not None:
            self._wake_up.set()
            self._thread.join()

    def _run(self) -> None:
        gauges.set_loop(self._name, due_at=self._clock(), failing=False)
        while not self._is_stopping:
            pause = self._run_step()
            self._wake_up.wait(pause)
            self._wake_up.clear()  # before the step: a change during the step sets it again
        if self._steps_on_stop:
            self._run_step()

    def _run_step(self) -> float:
        """Run one step and return the seconds until the next."""
        pause = max(self._interval, FAILURE_PAUSE)
        try:
            has_more = self._step()
        except Exception as error:  # noqa: BLE001 - the loop must survive every failure
            self._log_failure(error)
        else:
            pause = self._pause if has_more else self._interval
            if self._failure is not None:
                self._failure = None
                _log.info("background_step_recovered", loop=self._name)
        is_failing = self._failure is not None
        gauges.set_loop(self._name, due_at=self._clock() + pause, failing=is_failing)
        return pause

    def _log_failure(self, error: Exception) -> None:
        """Log the first of several failures of a kind: during an outage each step is refused."""
        if type(error) is self._failure:
            return
        self._failure = type(error)
        if isinstance(error, Refusal):
            _log.warning(
                "background_step_failed",
                loop=self._name,
                detail=error.detail,
                reason=error.reason,
            )
        else:
            _log.error("background_step_failed", loop=self._name, exc_info=error)
