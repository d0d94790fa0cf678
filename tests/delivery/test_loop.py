"""The loop around a sender: nothing but `stop` ends it."""

import threading

import pytest

from tokensvc.core.errors import Code, Refusal
from tokensvc.delivery import loop
from tokensvc.delivery.loop import DeliveryLoop


class Scripted:
    """A sender whose steps do what a test says, and count."""

    def __init__(self, *script) -> None:
        self.script = list(script)
        self.steps = 0
        self.stops = 0
        self.through = threading.Event()

    def stop(self) -> None:
        self.stops += 1

    def step(self) -> bool:
        self.steps += 1
        if not self.script:
            self.through.set()
            return False
        now = self.script.pop(0)
        if isinstance(now, Exception):
            raise now
        return now


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Wait for next to nothing."""
    monkeypatch.setattr(loop, "POLL", 0.001)
    monkeypatch.setattr(loop, "TROUBLED", 0.001)


def test_it_outlives_whatever_breaks_a_step():
    """A database that is gone, or a fault of ours: the next step comes all the same."""
    gone = Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone", reason="database: OperationalError")
    sender = Scripted(True, gone, True, ZeroDivisionError("ours"), True)
    running = DeliveryLoop(sender)
    running.start()
    assert sender.through.wait(60)
    running.stop()
    assert sender.steps >= 6
    assert sender.stops == 1


def test_it_stops_between_steps():
    """The step that is under way ends, and no other begins."""
    begun, may_end = threading.Event(), threading.Event()

    class Slow:
        steps = 0

        def stop(self) -> None:
            pass

        def step(self) -> bool:
            self.steps += 1
            begun.set()
            may_end.wait(60)
            return True

    sender = Slow()
    running = DeliveryLoop(sender)
    running.start()
    assert begun.wait(60)
    stopper = threading.Thread(target=running.stop)
    stopper.start()
    may_end.set()
    stopper.join(60)
    assert not stopper.is_alive()
    assert sender.steps == 1


def test_a_gone_database_is_a_warning_and_a_fault_of_ours_an_error(capsys):
    """The one is for whoever runs the database, the other for us."""
    gone = Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone", reason="database: OperationalError")
    sender = Scripted(gone, ZeroDivisionError("ours"))
    running = DeliveryLoop(sender)
    running.start()
    assert sender.through.wait(60)
    running.stop()
    told = capsys.readouterr().out
    assert "delivery_paused" in told
    assert told.count("delivery_broke") == 1
    assert "ZeroDivisionError" in told
