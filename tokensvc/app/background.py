"""Background loops: the one kind of thread that repeats a step, and the list of all loops."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from tokensvc.clients.usage import SecretUsage
from tokensvc.core.clock import Clock, system_clock
from tokensvc.core.errors import Refusal
from tokensvc.database.deletion import Purge
from tokensvc.issuers.service import Issuers
from tokensvc.ops.figures import Figures
from tokensvc.ops.health import LOOK_INTERVAL, ReadinessLook
from tokensvc.revocations.service import Revocations
from tokensvc.stream.keys.active_key_check import ActiveKeyCheck
from tokensvc.stream.keys.unnamed_mints import UnnamedMints
from tokensvc.telemetry import gauges

FAILURE_PAUSE: Final = 2.0
"""Minimum seconds between a failed step and the next, unless a wake-up ends the pause."""

_ISSUER_KEYS_INTERVAL = 1.0
"""Seconds between two checks for due fetches; short, since a clock can be set or a host sleep."""

_USAGE_INTERVAL = 60.0
"""Seconds between two writes of usage, which a crash loses."""

_CONFIRM_INTERVAL = 5.0
"""Seconds between two checks for actions that a crash left unconfirmed."""

ACTIVE_KEY_INTERVAL = 60.0
"""Seconds between two looks at whether a check of the active key is due."""

_FIGURES_INTERVAL = 15.0
"""Seconds between two reads of the figures for the metrics."""

_PURGE_INTERVAL = 3600.0
"""Seconds between two purges of the same rows."""

_PURGE_PAUSE = 0.05
"""Seconds between two full batches of a purge, for the requests that write."""

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


def active_key_loop(check: ActiveKeyCheck) -> BackgroundLoop:
    """Return the loop of the check of the active Stream key."""
    return BackgroundLoop("active_key", check.step, ACTIVE_KEY_INTERVAL, wake_up=check.wake_up)


def purge_loop(name: str, purge: Purge) -> BackgroundLoop:
    """Return the loop of a purge."""
    return BackgroundLoop(name, purge.step, _PURGE_INTERVAL, pause=_PURGE_PAUSE)


def other_loops(
    *,
    issuers: Issuers,
    secret_usage: SecretUsage,
    unnamed_mints: UnnamedMints,
    revocations: Revocations,
    readiness: ReadinessLook,
    figures: Figures,
    active_key_check: ActiveKeyCheck,
    purges: Mapping[str, Purge],
    of_accounts: Sequence[BackgroundLoop],
) -> tuple[BackgroundLoop, ...]:
    """
    Return the loops that every process with requests runs, in the order in which they stop.

    Args:
        purges: Purges by the names of their loops.
        of_accounts: Loops of built-in accounts.
    """
    return (
        BackgroundLoop("secret_usage", secret_usage.write, _USAGE_INTERVAL, steps_on_stop=True),
        BackgroundLoop("unnamed_mints", unnamed_mints.write, _USAGE_INTERVAL, steps_on_stop=True),
        BackgroundLoop("confirmation", revocations.confirm_left, _CONFIRM_INTERVAL),
        active_key_loop(active_key_check),
        *(purge_loop(name, purge) for name, purge in purges.items()),
        *of_accounts,
        BackgroundLoop("issuer_keys", issuers.refresh_due, _ISSUER_KEYS_INTERVAL),
        *watch_loops(readiness, figures),
    )


def watch_loops(readiness: ReadinessLook, figures: Figures) -> tuple[BackgroundLoop, ...]:
    """Return the loops behind `/readyz` and `/metrics`."""
    return (
        BackgroundLoop("figures", figures.step, _FIGURES_INTERVAL),
        BackgroundLoop("readiness", readiness.look, LOOK_INTERVAL),
    )
