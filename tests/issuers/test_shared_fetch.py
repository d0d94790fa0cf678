"""One fetch for all requests, of which few wait."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

from testing.manual_clock import ManualClock
from tokensvc.core.waiting import WaitSlots
from tokensvc.issuers.shared_fetch import SharedFetch

TIMEOUT = 30
WAITERS = 2


def shared_fetch(
    fetch: Callable[[], object],
    clock: ManualClock,
    wait_slots: WaitSlots | None = None,
    timeout: float = TIMEOUT * 2,
    cooldown: int = 30,
) -> SharedFetch:
    return SharedFetch(
        "test",
        fetch,
        timeout=timeout,
        cooldown=cooldown,
        wait_slots=wait_slots or WaitSlots(WAITERS),
        clock=clock,
    )


def test_all_fetches_share_the_wait_slots(clock: ManualClock) -> None:
    """A request without a slot still starts its fetch."""
    ended, started = threading.Event(), threading.Event()
    wait_slots = WaitSlots(1)
    hanging = shared_fetch(ended.wait, clock, wait_slots)
    other = shared_fetch(started.set, clock, wait_slots)
    with ThreadPoolExecutor(2) as pool:
        requests = [pool.submit(hanging.request, cold=True) for _ in range(2)]
        wait(requests, timeout=TIMEOUT, return_when=FIRST_COMPLETED)
        assert not other.request(cold=True)
        assert started.wait(TIMEOUT)
        ended.set()
    clock.now += 30
    assert other.request(cold=True)


def test_hanging_fetch_is_waited_for_once(clock: ManualClock) -> None:
    """A later request waits until the same deadline, and starts no second fetch."""
    never = threading.Event()
    started = []

    def fetch() -> None:
        started.append(1)
        never.wait()

    shared = shared_fetch(fetch, clock, timeout=0.2, cooldown=1)
    assert not shared.request(cold=True)
    clock.now += 100
    assert not shared.request(cold=True)
    shared.start_if_due(1)
    assert started == [1]
    never.set()


def test_run_ignores_the_cool_down(clock: ManualClock) -> None:
    """An operator requests it."""
    calls = []
    shared = shared_fetch(lambda: calls.append(1), clock)
    shared.run()
    shared.run()
    assert calls == [1, 1]


def test_retry_after_is_the_rest_of_the_cool_down(clock: ManualClock) -> None:
    """At least a second, at most the cool-down."""
    shared = shared_fetch(lambda: None, clock)
    assert shared.retry_after() == 1
    shared.request(cold=True)
    assert shared.retry_after() == 30
    clock.now += 12.5
    assert shared.retry_after() == 18
    clock.now += 100
    assert shared.retry_after() == 1
    clock.now -= 1000
    assert shared.retry_after() == 30
