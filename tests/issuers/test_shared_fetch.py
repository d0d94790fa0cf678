"""One fetch for all, and few who wait for it."""

import threading
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from tests.conftest import ManualClock
from tokensvc.issuers.shared_fetch import MAX_WAITING, SharedFetch

PATIENCE = 30


def test_one_too_many_is_turned_away_at_once(clock: ManualClock) -> None:
    """While others are served, only a few wait; the next learns that the outcome is not known."""
    over = threading.Event()
    shared = SharedFetch("test", over.wait, timeout=PATIENCE * 2, cooldown=30, clock=clock)
    with ThreadPoolExecutor(MAX_WAITING + 1) as pool:
        asked = [pool.submit(shared.ask, few_may_wait=True) for _ in range(MAX_WAITING + 1)]
        done, waiting = wait(asked, timeout=PATIENCE, return_when=FIRST_COMPLETED)
        over.set()
        assert [one.result() for one in done] == [False]
        assert [one.result() for one in waiting] == [True] * MAX_WAITING


def test_all_wait_when_nobody_is_served(clock: ManualClock) -> None:
    """At a cold start any number waits for the one fetch."""
    over = threading.Event()
    begun = []

    def fetch() -> None:
        begun.append(1)
        over.wait()

    shared = SharedFetch("test", fetch, timeout=PATIENCE, cooldown=30, clock=clock)
    with ThreadPoolExecutor(MAX_WAITING * 3) as pool:
        asked = [pool.submit(shared.ask, few_may_wait=False) for _ in range(MAX_WAITING * 3)]
        over.set()
        assert all(one.result() for one in asked)
    assert begun == [1]


def test_a_fetch_that_never_ends_is_waited_for_once(clock: ManualClock) -> None:
    """Who comes later waits no longer than until the same deadline, and begins no second one."""
    never = threading.Event()
    begun = []

    def fetch() -> None:
        begun.append(1)
        never.wait()

    shared = SharedFetch("test", fetch, timeout=0.2, cooldown=1, clock=clock)
    assert not shared.ask(few_may_wait=False)
    clock.now += 100
    assert not shared.ask(few_may_wait=False)
    shared.begin_if_due(1)
    assert begun == [1]
    never.set()


def test_fetches_on_request_follow_each_other(clock: ManualClock) -> None:
    """`run` knows no cool-down: an operator asks."""
    ended = []
    shared = SharedFetch("test", lambda: ended.append(1), timeout=5, cooldown=30, clock=clock)
    shared.run()
    shared.run()
    assert ended == [1, 1]


def test_retry_after_is_what_is_left_of_the_cool_down(clock: ManualClock) -> None:
    """At least a second, at most the cool-down."""
    shared = SharedFetch("test", lambda: None, timeout=5, cooldown=30, clock=clock)
    assert shared.retry_after() == 1
    shared.ask(few_may_wait=False)
    assert shared.retry_after() == 30
    clock.now += 12.5
    assert shared.retry_after() == 17
    clock.now += 100
    assert shared.retry_after() == 1
    clock.now -= 1000
    assert shared.retry_after() == 30
