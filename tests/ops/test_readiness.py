"""The look at the readiness: what it finds, keeps and logs."""

import threading
import time

import structlog
from prometheus_client import REGISTRY

from testing.manual_clock import ManualClock
from tokensvc.core import deadline
from tokensvc.ops import health
from tokensvc.ops.health import CheckResult, ReadinessLook, State

DATABASE = CheckResult("database", State.OK)


class Parts:
    """Checked parts whose states a test sets."""

    def __init__(self, **states: State) -> None:
        self.states = states

    def look(self) -> ReadinessLook:
        checks = [lambda name=name: CheckResult(name, self.states[name]) for name in self.states]
        return ReadinessLook(checks, time.monotonic)


def test_no_look_has_failed() -> None:
    """A worker looks once before it accepts clients."""
    last = ReadinessLook([lambda: DATABASE], time.monotonic).last()
    assert last.status is State.FAILED


def test_check_that_raises_has_failed() -> None:
    """By its name, or its type, and without the exception's text."""

    def database() -> CheckResult:
        raise ConnectionError("postgresql://user:s3cret@host")

    class Broken:
        def __call__(self) -> CheckResult:
            raise TimeoutError

    look = ReadinessLook([database, Broken()], time.monotonic)
    look.look()
    found = look.last()
    assert found.status is State.FAILED
    assert found.checks is not None
    assert [check.name for check in found.checks] == ["database", "Broken"]
    assert "ConnectionError" in found.checks[0].detail
    assert "s3cret" not in found.checks[0].detail


def test_last_look_is_returned_while_another_one_waits() -> None:
    entered, release = threading.Event(), threading.Event()
    results = [CheckResult("database", State.OK), CheckResult("database", State.FAILED)]

    def check() -> CheckResult:
        if len(results) == 1:
            entered.set()
            release.wait(60)
        return results.pop(0)

    look = ReadinessLook([check], time.monotonic)
    look.look()
    thread = threading.Thread(target=look.look)
    thread.start()
    assert entered.wait(60)
    assert look.last().status is State.OK
    release.set()
    thread.join()
    assert look.last().status is State.FAILED


def test_old_look_has_failed() -> None:
    """The next one hangs, or its thread has ended."""
    clock = ManualClock(100.0)
    look = ReadinessLook([lambda: DATABASE], clock)
    look.look()
    clock.now += health._MAX_AGE
    assert look.last().status is State.OK
    clock.now += 0.1
    assert look.last().status is State.FAILED


def test_waits_of_a_look_are_bounded() -> None:
    seen = []

    def check() -> CheckResult:
        seen.append(deadline.remaining(60))
        return DATABASE

    ReadinessLook([check], time.monotonic).look()
    assert 0 < seen[0] <= health._LOOK_SECONDS
    assert deadline.remaining(60) == 60


def test_each_look_sets_the_level_of_each_check() -> None:
    parts = Parts(database=State.OK, issuers=State.DEGRADED)
    look = parts.look()
    for database in (State.OK, State.FAILED, State.DEGRADED):
        parts.states["database"] = database
        look.look()
        level = ["ok", "degraded", "failed"].index(database)
        assert REGISTRY.get_sample_value("tokensvc_check", {"check": "database"}) == level
    assert REGISTRY.get_sample_value("tokensvc_check", {"check": "issuers"}) == 1


def test_each_change_of_a_state_is_logged_once() -> None:
    """Worse is a warning, better an information; the first look is no change."""
    parts = Parts(database=State.OK, issuers=State.DEGRADED)
    look = parts.look()
    with structlog.testing.capture_logs() as lines:
        for database in (State.OK, State.FAILED, State.FAILED, State.DEGRADED, State.OK):
            parts.states["database"] = database
            look.look()
    assert [(line["event"], line["log_level"], line["check"], line["state"]) for line in lines] == [
        ("readiness_changed", "warning", "database", "failed"),
        ("readiness_changed", "info", "database", "degraded"),
        ("readiness_changed", "info", "database", "ok"),
    ]
