"""The background thread: round after round, whatever breaks one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.upkeep.conftest import Worker
from tokensvc.audit.rules import Action
from tokensvc.audit.service import AuditTrail
from tokensvc.audit.store import record
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.clock import DatabaseClock
from tokensvc.upkeep import loop
from tokensvc.upkeep.loop import Upkeep


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again and again; fail when it never comes to pass."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to pass")


def test_it_writes_again_and_again(worker: Worker) -> None:
    """Round after round, until it is stopped."""
    usage, upkeep = worker.another(interval=0.01)
    upkeep.start()
    try:
        for _ in range(2):
            worker.clock.now += 60
            usage.secret_used(worker.secret_id)
            wait_for(lambda: worker.last_used() == {worker.secret_id: worker.clock.now})
    finally:
        upkeep.stop()


def test_it_writes_what_is_left_when_it_stops(worker: Worker) -> None:
    """Without waiting for the minute to end."""
    worker.upkeep.start()
    worker.usage.secret_used(worker.secret_id)
    worker.upkeep.stop()
    assert worker.last_used() == {worker.secret_id: 1_800_000_000}


def test_it_outlives_what_breaks_a_round(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal and a fault of ours alike: the next round does what this one could not."""
    faults = [Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone"), ZeroDivisionError()]
    note_uses = loop.note_uses

    def failing(*args: object) -> None:
        if faults:
            raise faults.pop(0)
        note_uses(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "note_uses", failing)
    usage, upkeep = worker.another(interval=0.01)
    usage.secret_used(worker.secret_id)
    upkeep.start()
    try:
        wait_for(lambda: worker.last_used() == {worker.secret_id: 1_800_000_000})
    finally:
        upkeep.stop()
    assert faults == []


@pytest.mark.sec(59)
def test_it_purges_the_trail_once_an_hour(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the first round and in every sixtieth after it, and goes on when that fails."""
    rounds: list[None] = []
    purged: list[int] = []
    enough = threading.Event()

    def write_usage(_: Upkeep) -> None:
        rounds.append(None)
        if len(rounds) > 121:
            enough.set()

    def purge(_: AuditTrail) -> None:
        purged.append(len(rounds))
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "gone")

    monkeypatch.setattr(Upkeep, "write_usage", write_usage)
    monkeypatch.setattr(AuditTrail, "purge", purge)
    _, upkeep = worker.another(interval=0.0001)
    upkeep.start()
    assert enough.wait(60)
    upkeep.stop()
    assert purged[:3] == [1, 61, 121]


@pytest.mark.sec(59)
def test_purges_at_once_are_harmless(worker: Worker) -> None:
    """Of several, each event that is old enough goes once, and none that is not."""
    now = DatabaseClock(worker.database, worker.clock)()
    with worker.database.write() as tx:
        for time in (*range(1000, 1040), now):
            record(tx, now=time, actor="cli:test", action=Action.USER_REVOKED, subject="john")
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda _: worker.trail.purge(), range(3)))
    assert sum(counts) == 40
    left = [event.time for event in worker.trail.page(limit=100, filters={"subject": "john"})]
    assert left == [int(now)]
