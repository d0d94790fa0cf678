"""The probe of the readiness: what it finds, keeps and logs."""

import threading
import time
from pathlib import Path
from typing import Never

import pytest
import structlog

from testing.doubles.issuer import IssuerDouble
from testing.manual_clock import ManualClock
from tests.ops.services import built_services, figure
from tokensvc.core import deadline
from tokensvc.core.findings import Finding, State
from tokensvc.ops import health
from tokensvc.ops.health import ReadinessProbe

HEALTHY = {"database": lambda: Finding(State.OK)}


class Parts:
    """Checked parts whose states a test sets."""

    def __init__(self, **states: State) -> None:
        self.states = states

    def probe(self) -> ReadinessProbe:
        checks = {name: lambda name=name: Finding(self.states[name]) for name in self.states}
        return ReadinessProbe(checks, time.monotonic)


def test_no_probe_has_failed() -> None:
    """A worker probes once before it accepts clients."""
    last = ReadinessProbe(HEALTHY, time.monotonic).last()
    assert last.service.status is last.instance.status is State.FAILED


def test_check_that_raises_has_failed_until_it_returns(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own name, so that the next probe replaces it, and without the exception's text."""

    def fail() -> Never:
        raise ConnectionError("postgresql://user:s3cret@host")

    with (
        IssuerDouble() as issuer,
        built_services(tmp_path, issuer, migrated_sqlite_url) as services,
    ):
        monkeypatch.setattr(services.stream.deliveries, "warnings", fail)
        services.operations.readiness.probe()
        found = services.operations.readiness.last().service
        assert found.checks is not None
        (broken,) = [check for check in found.checks if check.state is State.FAILED]
        assert broken.name == "delivery"
        assert "ConnectionError" in broken.detail
        assert "s3cret" not in broken.detail
        assert figure("tokensvc_check", check="delivery") == 2
        monkeypatch.undo()
        services.operations.readiness.probe()
        assert figure("tokensvc_check", check="delivery") == 0


def test_last_probe_is_returned_while_another_one_waits() -> None:
    entered, release = threading.Event(), threading.Event()
    results = [Finding(State.OK), Finding(State.FAILED)]

    def check() -> Finding:
        if len(results) == 1:
            entered.set()
            release.wait(60)
        return results.pop(0)

    probe = ReadinessProbe({"database": check}, time.monotonic)
    probe.probe()
    thread = threading.Thread(target=probe.probe)
    thread.start()
    assert entered.wait(60)
    assert probe.last().service.status is State.OK
    release.set()
    thread.join()
    assert probe.last().service.status is State.FAILED


def test_old_probe_has_failed() -> None:
    """The next one hangs, or its thread has ended."""
    clock = ManualClock(100.0)
    probe = ReadinessProbe(HEALTHY, clock)
    probe.probe()
    clock.now += health._MAX_AGE
    assert probe.last().service.status is State.OK
    clock.now += 0.1
    assert probe.last().service.status is State.FAILED


def test_waits_of_a_probe_are_bounded() -> None:
    seen = []

    def check() -> Finding:
        seen.append(deadline.remaining(60))
        return Finding(State.OK)

    ReadinessProbe({"database": check}, time.monotonic).probe()
    assert 0 < seen[0] <= health._PROBE_SECONDS
    assert deadline.remaining(60) == 60


def test_each_probe_sets_the_level_of_each_check() -> None:
    parts = Parts(database=State.OK, issuers=State.DEGRADED)
    probe = parts.probe()
    for database in (State.OK, State.FAILED, State.DEGRADED):
        parts.states["database"] = database
        probe.probe()
        level = ["ok", "degraded", "failed"].index(database)
        assert figure("tokensvc_check", check="database") == level
    assert figure("tokensvc_check", check="issuers") == 1


def test_each_change_of_a_state_is_logged_once() -> None:
    """Worse is a warning, better an information. The first probe logs what is not ok."""
    parts = Parts(database=State.OK, issuers=State.DEGRADED)
    probe = parts.probe()
    with structlog.testing.capture_logs() as lines:
        for database in (State.OK, State.FAILED, State.FAILED, State.DEGRADED, State.OK):
            parts.states["database"] = database
            probe.probe()
    assert [(line["event"], line["log_level"], line["check"], line["state"]) for line in lines] == [
        ("readiness_changed", "warning", "issuers", "degraded"),
        ("readiness_changed", "warning", "database", "failed"),
        ("readiness_changed", "info", "database", "degraded"),
        ("readiness_changed", "info", "database", "ok"),
    ]
