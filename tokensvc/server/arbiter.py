"""The gunicorn master: on HUP, the previous workers serve until the new ones do."""

import contextlib
import os
import signal
import time
from typing import Any

import structlog
from gunicorn.arbiter import Arbiter
from gunicorn.errors import HaltServer

_POLL_SECONDS = 0.05
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

_log = structlog.get_logger(__name__)


class _ReloadFailedError(Exception):
    """The new workers do not serve."""


class _StoppedError(_ReloadFailedError):
    """The service stops before the new workers serve."""


class ReloadingArbiter(Arbiter):  # type: ignore[misc]  # gunicorn is untyped
    """
    Stops the previous workers of a reload when each new worker has sent its first heartbeat.

    If a new worker ends before, or sends none within `timeout`, the reload is given up: the new
    workers end, and the previous ones stay. gunicorn has no setting for the class of its master.
    """

    _previous: frozenset[int] = frozenset()

    def reload(self) -> None:
        """Replace the workers."""
        self._previous = frozenset(self.WORKERS)
        try:
            super().reload()
        except _StoppedError:
            pass  # the stop follows, and says so
        except _ReloadFailedError as error:
            _log.error(
                "workers_reload_failed",
                detail=str(error),
                hint="the previous workers serve on; correct the cause, then reload again",
            )
        finally:
            self._previous = frozenset()

    def manage_workers(self) -> None:
        """Start missing workers and stop surplus ones; in a reload, first wait for the new ones."""
        if self._previous:
            self._wait_for_new_workers()
        super().manage_workers()

    def _wait_for_new_workers(self) -> None:
        started = time.monotonic()
        kept: list[int] = []
        try:
            while not self._new_workers_serve(started, kept):
                signals = self.wait_for_signals(timeout=_POLL_SECONDS)
                kept += [number for number in signals if number != signal.SIGCHLD]
                self.reap_workers()
        except HaltServer as error:
            self._drop_new_workers(started)
            raise _ReloadFailedError("a new worker could not start") from error
        except _ReloadFailedError:
            self._drop_new_workers(started)
            raise
        finally:
            for number in kept:
                self.signal(number, None)

    def _new_workers(self) -> dict[int, Any]:
        return {pid: one for pid, one in self.WORKERS.items() if pid not in self._previous}

    def _new_workers_serve(self, started: float, signals: list[int]) -> bool:
        if any(number in _STOPS for number in signals):
            raise _StoppedError
        new = self._new_workers()
        if len(new) < self.num_workers:
            raise _ReloadFailedError("a new worker ended")
        if time.monotonic() > started + self.timeout:
            raise _ReloadFailedError(f"a new worker did not serve within {self.timeout} s")
        return all(_has_beaten(worker, started) for worker in new.values())

    def _drop_new_workers(self, started: float) -> None:
        """
        Forget the new workers, so that the previous ones are no surplus, and end them.

        Each that could not boot is reaped here: `reap_workers` would stop the service for it.
        """
        for pid, worker in self._new_workers().items():
            is_serving = _has_beaten(worker, started)
            self.kill_worker(pid, signal.SIGTERM if is_serving else signal.SIGKILL)
            self.WORKERS.pop(pid, None)
            if not is_serving:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _has_beaten(worker: Any, started: float) -> bool:
    """Return whether a worker has sent a heartbeat; before, the file has the time of the day."""
    return bool(started <= worker.tmp.last_update() <= time.monotonic())
