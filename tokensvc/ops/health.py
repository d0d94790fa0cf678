"""Is the service ready: several checks, one verdict, kept for a second."""

import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

KEPT_SECONDS = 1.0


class State(StrEnum):
    """
    State of the service or one of its parts:

    `degraded` works for most requests, `failed` for none.
    """

    OK = "ok"
    DEGRADED = "degraded"
    FAILED = "failed"


class CheckResult(msgspec.Struct, frozen=True):
    """
    Result of one check.

    Attributes:
        name: Name of the check.
        state: State of the checked part.
        detail: Cause and next step, without secrets.
    """

    name: str
    state: State
    detail: str = ""


Check: TypeAlias = Callable[[], CheckResult]


class Readiness(msgspec.Struct, frozen=True):
    """
    Readiness of the service.

    Attributes:
        status: Worst state of all checks. `failed` is sent with status 503.
        checks: Results of the checks, for operators only.
    """

    status: State
    checks: list[CheckResult] | None = None


class ReadinessProbe:
    """
    Runs the checks, at most once a second whoever asks.

    Args:
        checks: Each looks at one thing; one that raises has failed.
        monotonic: Seconds of a clock that never goes back.
    """

    def __init__(self, checks: Sequence[Check], monotonic: Callable[[], float]) -> None:
        self._checks = checks
        self._monotonic = monotonic
        self._refresh = threading.Lock()
        self._kept: tuple[float, Readiness] | None = None

    def read(self) -> Readiness:
        """
        Give a verdict that is at most a second old.

        While one thread runs slow checks, the others answer with the last verdict: a database that
        hangs must not take every thread with it.
        """
        kept = self._kept
        if kept is None:
            self._refresh.acquire()
        elif not self._refresh.acquire(blocking=False):
            return kept[1]
        try:
            kept = self._kept
            if kept is None or self._monotonic() - kept[0] >= KEPT_SECONDS:
                kept = self._kept = (self._monotonic(), self._run())
            return kept[1]
        finally:
            self._refresh.release()

    def _run(self) -> Readiness:
        results = [_result(check) for check in self._checks]
        states = {result.state for result in results}
        worst = next((s for s in (State.FAILED, State.DEGRADED) if s in states), State.OK)
        return Readiness(worst, results)


def _result(check: Check) -> CheckResult:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that breaks says that something is broken
        name = getattr(check, "__name__", type(check).__name__)
        return CheckResult(name, State.FAILED, f"the check itself failed: {type(error).__name__}")
