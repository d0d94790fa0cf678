"""The background loop: the order of steps and pauses, and what it logs."""

import threading

import pytest
import structlog
from prometheus_client import REGISTRY

from tokensvc.app.background import BackgroundLoop
from tokensvc.core.errors import Code, Refusal

INTERVAL = 60.0


class Pauses(threading.Event):
    """An event that records each wait; during the last one, its loop is stopped."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.seconds = []
        self.count = count
        self.loop = None

    def wait(self, timeout=None) -> bool:
        self.seconds.append(timeout)
        if len(self.seconds) == self.count:
            self.loop._is_stopping = True
        return self.is_set()


class WakeUp(threading.Event):
    """An event that shows that a loop pauses."""

    def __init__(self) -> None:
        super().__init__()
        self.is_awaited = threading.Event()

    def wait(self, timeout=None) -> bool:
        if not self.is_set():
            self.is_awaited.set()
        return super().wait(timeout)


def run_with(pauses: Pauses, step, **options) -> None:
    """Run a loop until it has paused `pauses.count` times."""
    pauses.loop = BackgroundLoop("test", step, wake_up=pauses, **options)
    pauses.loop.start()
    pauses.loop._thread.join()


def run(*results, interval: float = INTERVAL, pause: float = 0.0, steps_on_stop: bool = False):
    """Run one step for each result, and return the pauses after them."""
    script = list(results)

    def step():
        result = script.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    pauses = Pauses(len(results) - steps_on_stop)
    run_with(pauses, step, interval=interval, pause=pause, steps_on_stop=steps_on_stop)
    assert script == []
    return pauses.seconds


def test_first_step_runs_immediately():
    assert run(None) == [INTERVAL]


def test_step_with_more_to_do_is_repeated_immediately_or_after_its_pause():
    assert run(True, True, False) == [0, 0, INTERVAL]
    assert run(True, False, pause=0.05) == [0.05, INTERVAL]


@pytest.mark.parametrize(("interval", "pause"), [(0.2, 2), (60, 60)])
def test_failed_step_is_repeated_after_a_pause(interval, pause):
    refusal = Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")
    failures = (refusal, ZeroDivisionError())
    assert run(*failures, True, interval=interval) == [pause, pause, 0]


def test_refusal_is_logged_as_warning_and_exception_as_error():
    refusal = Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone", reason="OperationalError")
    with structlog.testing.capture_logs() as lines:
        run(refusal, ZeroDivisionError())
    assert [line["event"] for line in lines] == ["background_step_failed"] * 2
    assert {line["loop"] for line in lines} == {"test"}
    assert [line["log_level"] for line in lines] == ["warning", "error"]
    assert lines[0]["reason"] == "OperationalError"
    assert lines[1]["exc_info"]


@pytest.mark.parametrize(
    "failure", [Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone"), ZeroDivisionError()]
)
def test_failures_are_logged_once_until_a_step_succeeds(failure):
    with structlog.testing.capture_logs() as lines:
        run(failure, failure, None, None, failure, failure)
    failed, recovered = "background_step_failed", "background_step_recovered"
    assert [line["event"] for line in lines] == [failed, recovered, failed]
    assert lines[1]["log_level"] == "info"


def test_loop_is_shown_as_failing_until_a_step_succeeds():
    """With the time at which its next step is due."""

    def shown(name):
        return REGISTRY.get_sample_value(f"tokensvc_loop_{name}", {"loop": "test"})

    seen = []

    def step():
        seen.append((shown("due_timestamp_seconds"), shown("failing")))
        if len(seen) == 1:
            raise ZeroDivisionError

    run_with(Pauses(2), step, interval=INTERVAL, clock=lambda: 1000.0)
    assert seen == [(1000, 0), (1000 + INTERVAL, 1)]
    assert shown("failing") == 0


def test_stop_runs_a_final_step_where_requested():
    assert run(None, None, steps_on_stop=True) == [INTERVAL]


def test_stop_waits_for_the_current_step_and_starts_no_other():
    begun, may_end = threading.Event(), threading.Event()
    steps = []

    def step():
        steps.append("begun")
        begun.set()
        may_end.wait()
        steps.append("ended")
        return True

    loop = BackgroundLoop("test", step, INTERVAL)
    loop.start()
    begun.wait()
    stopping = threading.Thread(target=loop.stop)
    stopping.start()
    loop._wake_up.wait()
    may_end.set()
    stopping.join()
    assert steps == ["begun", "ended"]


def test_wake_up_ends_a_pause():
    """Also one that comes during the step, which may not see what it announces."""
    wake_up, ended = WakeUp(), [threading.Event() for _ in range(3)]
    steps = iter(ended)

    def step():
        event = next(steps)
        if event is ended[0]:
            wake_up.set()
        event.set()

    loop = BackgroundLoop("test", step, INTERVAL, wake_up=wake_up)
    loop.start()
    assert ended[1].wait(INTERVAL / 2)
    assert wake_up.is_awaited.wait(INTERVAL / 2)
    wake_up.set()
    assert ended[2].wait(INTERVAL / 2)
    loop.stop()


def test_stop_without_start_returns():
    BackgroundLoop("test", lambda: None, INTERVAL).stop()
