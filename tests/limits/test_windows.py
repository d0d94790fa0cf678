"""The sliding windows, their memory, and what callers are told of them."""

import random
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.limits.memory import MemoryWindows
from tokensvc.limits.rules import EMPTY, Window, reset_after, used
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings

WINDOW = 60


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moving() -> Clock:
    return Clock()


def windows(clock: Clock, limit: int = 60, **more: int) -> MemoryWindows:
    return MemoryWindows(limit, WINDOW, clock=clock, **more)


def test_burst_of_twenty_passes(moving: Clock) -> None:
    """One JavaScript client can ask five times at once: a burst of 20 passes under 60/minute."""
    limiter = Limiter(LimitSettings(), clock=moving)
    assert all(limiter.hit("mint", "john").allowed for _ in range(20))


def test_limit_is_exact_within_a_window(moving: Clock) -> None:
    """Exactly the limit passes, and another key is not touched by it."""
    limiter = Limiter(LimitSettings(mint="3/minute"), clock=moving)
    assert [limiter.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert limiter.hit("mint", "jane").allowed


def test_policies_do_not_share_counts(moving: Clock) -> None:
    """The same text as a user id, a client id and an address is three keys."""
    limiter = Limiter(LimitSettings(mint="1/minute", failures="1/minute"), clock=moving)
    assert limiter.hit("mint", "x").allowed
    assert limiter.hit("failures", "x").allowed
    assert not limiter.hit("mint", "x").allowed


def test_peek_counts_nothing(moving: Clock) -> None:
    """A look leaves what is counted as it was, and tells whether a hit would pass."""
    limiter = Limiter(LimitSettings(failures="2/minute"), clock=moving)
    for _ in range(5):
        assert limiter.peek("failures", "203.0.113.9").allowed
    limiter.hit("failures", "203.0.113.9")
    limiter.hit("failures", "203.0.113.9")
    state = limiter.peek("failures", "203.0.113.9")
    assert (state.allowed, state.remaining) == (False, 0)


def test_no_double_rate_around_a_boundary(moving: Clock) -> None:
    """Unlike a fixed window, the limit is not given twice within a second."""
    counted = windows(moving, limit=60)
    moving.now += 0.001
    for _ in range(60):
        assert counted.take("john")[0]
    moving.now += WINDOW
    assert sum(counted.take("john")[0] for _ in range(60)) <= 1


def test_a_full_key_passes_again_when_its_hits_are_old(moving: Clock) -> None:
    """Half of the limit after one and a half windows, all of it after another two."""
    counted = windows(moving, limit=40)
    for _ in range(40):
        counted.take("john")
    moving.now += 1.5 * WINDOW
    assert sum(counted.take("john")[0] for _ in range(60)) == 20
    moving.now += 2 * WINDOW
    assert sum(counted.take("john")[0] for _ in range(60)) == 40


def test_old_hits_weigh_less_and_then_nothing(moving: Clock) -> None:
    """Half a window later half of the hits still count; after two windows none does."""
    counted = windows(moving)
    for _ in range(40):
        counted.take("john")
    moving.now += 1.5 * WINDOW
    assert used(counted.look("john"), WINDOW) == 20
    moving.now += 0.5 * WINDOW
    assert used(counted.look("john"), WINDOW) == 0


@given(
    gaps=st.lists(st.floats(0.0, 130.0), min_size=1, max_size=60),
    limit=st.integers(1, 12),
)
def test_whoever_waits_as_told_passes(gaps: list[float], limit: int) -> None:
    """After `reset_after` seconds (and the least moment of travel) more passes than before."""
    moving = Clock()
    counted = windows(moving, limit=limit)
    for gap in gaps:
        moving.now += gap
        allowed, window = counted.take("john")
        wait = reset_after(window, WINDOW)
        assert wait >= 1
        later = Clock()
        later.now = moving.now + wait + 0.001
        counted._clock = later
        assert used(counted.look("john"), WINDOW) < used(window, WINDOW)
        counted._clock = moving
        assert allowed or used(window, WINDOW) >= limit


@given(gaps=st.lists(st.floats(0.0, 30.0), min_size=1, max_size=200))
def test_never_more_than_twice_the_limit_in_any_window(gaps: list[float]) -> None:
    """Whatever the rhythm, hits that passed within one window's time stay near the limit."""
    moving, limit = Clock(), 5
    counted = windows(moving, limit=limit)
    passed: list[float] = []
    for gap in gaps:
        moving.now += gap
        if counted.take("john")[0]:
            passed.append(moving.now)
    for start in passed:
        assert sum(start <= at < start + WINDOW for at in passed) < 2 * limit


def test_memory_is_bounded(moving: Clock) -> None:
    """A flood of new keys never makes the store grow past its bound, nor loses a busy key."""
    counted = windows(moving, limit=2, max_keys=100)
    counted.take("busy")
    counted.take("busy")
    for number in range(99):
        counted.take(f"stranger {number}")
    assert len(counted) == 100
    for number in range(10_000):
        counted.take(f"flood {number}")
        assert len(counted) <= 100


def test_the_key_hit_longest_ago_is_forgotten_first(moving: Clock) -> None:
    """Under pressure a key that is still in use outlives those that are not."""
    counted = windows(moving, limit=10, max_keys=3)
    for key in ("a", "b", "c", "a", "d"):
        counted.take(key)
    assert counted.look("b") == EMPTY
    assert counted.look("a").current == 2


def test_expired_keys_leave_without_a_flood(moving: Clock) -> None:
    """What counts nothing any more is dropped as others come, two for each."""
    counted = windows(moving)
    for number in range(50):
        counted.take(f"early {number}")
    moving.now += 2 * WINDOW
    for number in range(30):
        counted.take(f"late {number}")
    assert len(counted) == 30


def test_keys_that_still_weigh_stay(moving: Clock) -> None:
    """Hits of the window before the running one count, so their key is not dropped for others."""
    counted = windows(moving)
    for _ in range(40):
        counted.take("john")
    moving.now += 1.5 * WINDOW
    for number in range(30):
        counted.take(f"late {number}")
    assert used(counted.look("john"), WINDOW) == 20


def test_a_look_at_an_unknown_key_stores_nothing(moving: Clock) -> None:
    """Strangers' addresses are looked at on every request and must not fill the memory."""
    counted = windows(moving)
    counted.look("203.0.113.9")
    assert len(counted) == 0


class SlowKey(str):
    """A key that lets other threads go first whenever it is looked up."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0.001)
        return super().__hash__()


def test_threads_never_pass_more_than_the_limit() -> None:
    """Many threads on one key that nobody has counted yet: exactly the limit passes."""
    counted = MemoryWindows(3, 3600)
    passed = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        passed.append(counted.take(SlowKey("john"))[0])

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 3


def test_no_thread_is_started() -> None:
    """The store of the library restarts a timer under load; ours has none."""
    before = threading.active_count()
    limiter = Limiter(LimitSettings())
    for _ in range(1000):
        limiter.hit("mint", random.choice("abcdef"))
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("counted", "expected"),
    [
        (EMPTY, 0),
        (Window(0, 0.0, 3, 120.0), 60),
        (Window(0, 0.0, 3, 60.2), 1),
        (Window(60, 30.0, 0, 90.0), 1),
        (Window(2, 45.0, 5, 105.0), 15),
        (Window(1, 30.0, 1, 90.0), 30),
    ],
)
def test_reset_after(counted: Window, expected: int) -> None:
    """The next moment at which the weight falls: by decay, else at the end of the window."""
    assert reset_after(counted, WINDOW) == expected


@pytest.mark.parametrize(
    "text", ["", "60", "x/minute", "0/minute", "60/fortnight", "1/second; 5/minute", "-1/minute"]
)
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    """A typing error must not open a limit or close the service."""
    with pytest.raises(ValueError, match="60/minute"):
        LimitSettings(mint=text)
