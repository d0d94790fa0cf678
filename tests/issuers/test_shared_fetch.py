"""One fetch for all, and few who wait for it."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from tests.conftest import ManualClock
from tokensvc.issuers.shared_fetch import SharedFetch

PATIENCE = 30
WAITERS = 2


def shared_fetch(
    fetch: Callable[[], object],
    clock: ManualClock,
    wait_slots: threading.Semaphore | None = None,
    timeout: float = PATIENCE * 2,
    cooldown: int = 30,
) -> SharedFetch:
    return SharedFetch(
        "test",
        fetch,
        timeout=timeout,
        cooldown=cooldown,
        wait_slots=wait_slots or threading.Semaphore(WAITERS),
        clock=clock,
    )


@pytest.mark.parametrize("cold", [True, False])
def test_one_too_many_is_turned_away_at_once(clock: ManualClock, cold: bool) -> None:
    """Only a few wait for the one fetch; the next learns that the outcome is not known."""
    over = threading.Event()
    begun = []

    def fetch() -> None:
        begun.append(1)
        over.wait()

    shared = shared_fetch(fetch, clock)
    with ThreadPoolExecutor(WAITERS + 1) as pool:
        asked = [pool.submit(shared.ask, cold=cold) for _ in range(WAITERS + 1)]
        done, waiting = wait(asked, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        over.set()
        assert [one.result() for one in done] == [False]
        assert [one.result() for one in waiting] == [True] * WAITERS
    assert begun == [1]


def test_all_fetches_share_the_places(clock: ManualClock) -> None:
    """Who waits for one fetch takes the place of who wants another, which begins all the same."""
    over, begun = threading.Event(), threading.Event()
    wait_slots = threading.Semaphore(1)
    hanging = shared_fetch(over.wait, clock, wait_slots)
    other = shared_fetch(begun.set, clock, wait_slots)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(hanging.ask, cold=True) for _ in range(2)]
        wait(asked, timeout=PATIENCE, return_when=FIRST_COMPLETED)  # so the other one has the place
        assert not other.ask(cold=True)
        assert begun.wait(PATIENCE)
        over.set()
    clock.now += 30
    assert other.ask(cold=True)


def test_a_fetch_that_never_ends_is_waited_for_once(clock: ManualClock) -> None:
    """Who comes later waits no longer than until the same deadline, and begins no second one."""
    never = threading.Event()
    begun = []

    def fetch() -> None:
        begun.append(1)
        never.wait()

    shared = shared_fetch(fetch, clock, timeout=0.2, cooldown=1)
    assert not shared.ask(cold=True)
    clock.now += 100
    assert not shared.ask(cold=True)
    shared.begin_if_due(1)
    assert begun == [1]
    never.set()


def test_fetches_on_request_follow_each_other(clock: ManualClock) -> None:
    """`run` knows no cool-down: an operator asks."""
    ended = []
    shared = shared_fetch(lambda: ended.append(1), clock)
    shared.run()
    shared.run()
    assert ended == [1, 1]


def test_retry_after_is_what_is_left_of_the_cool_down(clock: ManualClock) -> None:
    """At least a second, at most the cool-down."""
    shared = shared_fetch(lambda: None, clock)
    assert shared.retry_after() == 1
    shared.ask(cold=True)
    assert shared.retry_after() == 30
    clock.now += 12.5
    assert shared.retry_after() == 17
    clock.now += 100
    assert shared.retry_after() == 1
    clock.now -= 1000
    assert shared.retry_after() == 30
