"""The breaker, without a database."""

import threading

import pytest
import structlog

from testing.waiting import wait_until
from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.database import breaker
from tokensvc.database.breaker import MAX_FAILURES, Breaker, BreakerState


def test_consecutive_failures_open_it():
    state = BreakerState()
    for _ in range(MAX_FAILURES):
        assert not state.is_open
        state = state.after_failure()
    assert state.is_open


def test_success_in_between_starts_again():
    state = BreakerState()
    for _ in range(2 * MAX_FAILURES):
        state = state.after_failure().after_success()
    assert state == BreakerState()


def test_only_a_probe_closes_it():
    """A late success may be of a connection from before, while new ones are refused."""
    state = BreakerState(MAX_FAILURES, is_open=True)
    assert state.after_success().is_open
    assert state.after_success().after_failure().is_open
    assert not state.after_probe().is_open


class Server:
    """A database that a breaker probes."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.responds = threading.Event()

    def probe(self) -> None:
        self.calls.append("probe")
        if not self.responds.is_set():
            raise ConnectionRefusedError

    def disconnect(self) -> None:
        self.calls.append("disconnect")

    def breaker(self) -> Breaker:
        return Breaker(lambda error: isinstance(error, OSError), self.probe, self.disconnect)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(breaker, "PROBE_SECONDS", 0.01)
    return Server()


def fail(opened, times=MAX_FAILURES):
    for _ in range(times):
        opened.fail(ConnectionResetError())


def is_admitted(opened):
    try:
        opened.admit()
    except Refusal as refusal:
        assert refusal.code is Code.TEMPORARILY_UNAVAILABLE
        assert refusal.retry_after == 5
        return False
    return True


@pytest.mark.sec(65)
def test_open_breaker_refuses_until_a_probe_succeeds(server):
    """Idle connections are closed first: a probe on one of them would prove nothing."""
    opened = server.breaker()
    fail(opened, MAX_FAILURES - 1)
    assert is_admitted(opened)
    fail(opened, 1)
    assert not is_admitted(opened)
    wait_until(lambda: len(server.calls) > 3, "several probes")
    assert not is_admitted(opened)
    server.responds.set()
    wait_until(lambda: is_admitted(opened), "a successful probe")
    assert server.calls[0] == "disconnect"
    assert set(server.calls[1:]) == {"probe"}


def test_pause_between_probes_stays_short_in_a_long_outage(server, monkeypatch):
    """Mints must work 0.3 s after the return of the database, also if it was away for an hour."""
    monkeypatch.undo()
    opened, pauses = server.breaker(), []

    def wait(seconds):
        pauses.append(seconds)
        return len(pauses) > 1000

    monkeypatch.setattr(opened._stopping, "wait", wait)
    fail(opened)
    wait_until(lambda: len(pauses) > 1000, "many probes")
    assert max(pauses) <= 0.1


def test_each_change_is_logged_once(server):
    """Although many requests fail meanwhile."""
    opened = server.breaker()
    with structlog.testing.capture_logs() as lines:
        for _ in range(2):
            server.responds.clear()
            fail(opened, 10 * MAX_FAILURES)
            server.responds.set()
            wait_until(lambda: is_admitted(opened), "a successful probe")
    changes = [(line["event"], line["log_level"]) for line in lines if line["log_level"] != "debug"]
    assert (
        changes
        == [
            ("database_breaker_opened", "warning"),
            ("database_breaker_closed", "info"),
        ]
        * 2
    )


def test_breaker_without_a_thread_for_its_probes_stays_closed(server, monkeypatch):
    """Otherwise it would never close. The next failure tries again."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    opened = server.breaker()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        fail(opened, 2 * MAX_FAILURES)
    assert is_admitted(opened)
    fail(opened, 1)
    assert not is_admitted(opened)
    server.responds.set()
    wait_until(lambda: is_admitted(opened), "a successful probe")


def test_other_errors_do_not_count(server):
    opened = server.breaker()
    for _ in range(10):
        opened.fail(ValueError())
    assert is_admitted(opened)
    fail(opened, MAX_FAILURES - 1)
    opened.succeed()
    fail(opened, MAX_FAILURES - 1)
    assert is_admitted(opened)


def test_stop_ends_the_probes(server):
    opened = server.breaker()
    fail(opened)
    wait_until(lambda: "probe" in server.calls, "a probe")
    opened.stop()
    wait_until(lambda: "breaker" not in {t.name for t in threading.enumerate()}, "the end")


def test_request_without_time_left_is_refused(server):
    """Its wait would end without a result."""
    deadline.begin(0.0)
    try:
        assert not is_admitted(server.breaker())
    finally:
        deadline.end()
    assert is_admitted(server.breaker())
