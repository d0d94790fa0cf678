"""Readiness: the worst result of several checks, cached for one second."""

import threading
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeAlias

import msgspec

from tokensvc.core.blocking import may_block

CACHE_SECONDS = 1.0


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
    Runner of the checks, at most once per second.

    Args:
        checks: Functions that each check one part. A check that raises has failed.
        monotonic: Monotonic clock, in seconds.
    """

    def __init__(self, checks: Sequence[Check], monotonic: Callable[[], float]) -> None:
        self._checks = checks
        self._monotonic = monotonic
        self._refresh = threading.Lock()
        self._cached: tuple[float, Readiness] | None = None

    def read(self) -> Readiness:
        """
        Return a result that is at most one second old.

        While one thread runs slow checks, the others return the previous result, so that a hanging
        database does not occupy every thread.
        """
        cached = self._cached
        if cached is not None and self._monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1]
        if not may_block():
            return Readiness(State.FAILED) if cached is None else cached[1]
        if cached is None:
            self._refresh.acquire()
        elif not self._refresh.acquire(blocking=False):
            return cached[1]
        try:
            cached = self._cached
            if cached is None or self._monotonic() - cached[0] >= CACHE_SECONDS:
                cached = self._cached = (self._monotonic(), self._run())
            return cached[1]
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
    except Exception as error:  # noqa: BLE001 - a check that raises has failed
        name = getattr(check, "__name__", type(check).__name__)
        return CheckResult(name, State.FAILED, f"the check raised {type(error).__name__}")
