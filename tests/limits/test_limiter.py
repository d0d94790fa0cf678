"""GCRA, the bounded memory, and the state that callers see."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testing.manual_clock import ManualClock
from tokensvc.limits.memory import MemoryStore
from tokensvc.limits.rules import MICROSECONDS, Decision, Rate, gcra, state
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings, parse_rate

MINUTE = 60


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1000.0)


@given(limit=st.integers(1, 5000), window=st.integers(1, 86400))
def test_exactly_the_limit_passes_from_idle(limit: int, window: int) -> None:
    """Whole microseconds: no rounding of the period takes a hit away or gives one more."""
    rate = Rate(limit, window)
    tat = now = 1_700_000_000 * MICROSECONDS
    for _ in range(limit):
        decision = gcra(tat, now, rate.period, rate.limit)
        assert decision.allowed
        tat = now + decision.backlog + rate.period
    assert not gcra(tat, now, rate.period, rate.limit).allowed


@given(
    gaps=st.lists(st.floats(0.0, 90.0), min_size=1, max_size=100),
    limit=st.integers(1, 12),
)
def test_never_more_than_the_limit_and_the_rate_pass(gaps: list[float], limit: int) -> None:
    """In any span of `t` seconds at most `limit + t * limit / window` hits pass."""
    clock = ManualClock(1000.0)
    store = MemoryStore(Rate(limit, MINUTE), clock=clock)
    passed: list[float] = []
    for gap in gaps:
        clock.now += gap
        if store.check("john", count=True).allowed:
            passed.append(clock.now)
    for first, start in enumerate(passed):
        for last, end in enumerate(passed[first:], start=first):
            assert last - first + 1 <= limit + (end - start) * limit / MINUTE + 0.001


@given(
    gaps=st.lists(st.integers(0, 90 * MICROSECONDS), min_size=1, max_size=60),
    limit=st.integers(1, 12),
)
def test_one_more_hit_passes_after_reset(gaps: list[int], limit: int) -> None:
    """`reset_after` is the time until `remaining` grows, and what a refused client must wait."""
    clock = ManualClock(Fraction(1000))  # exact: a float can be a microsecond short after the wait
    limiter = Limiter(LimitSettings(mint=f"{limit}/minute"), clock=clock)
    for gap in gaps:
        clock.now += Fraction(gap, MICROSECONDS)
        hit = limiter.hit("mint", "john")
        assert 1 <= hit.reset_after <= MINUTE
        assert hit.allowed or hit.remaining == 0
    clock.now += hit.reset_after
    later = limiter.peek("mint", "john")
    assert later.remaining > hit.remaining
    assert later.allowed


def test_tat_beyond_the_tolerance_is_cut(clock: ManualClock) -> None:
    """A clock that was set back by a year does not block a key for a year."""
    assert gcra(10**15, 0, 1_000_000, 60) == Decision(allowed=False, backlog=60_000_000)


@pytest.mark.parametrize(
    ("backlog", "remaining", "reset_after"),
    [(0, 60, 0), (1, 59, 1), (1_000_000, 59, 1), (1_000_001, 58, 1), (60_000_000, 0, 1)],
)
def test_state_rounds_against_the_caller(backlog: int, remaining: int, reset_after: int) -> None:
    described = state("mint", Rate(60, MINUTE), Decision(allowed=True, backlog=backlog))
    assert (described.remaining, described.reset_after) == (remaining, reset_after)


def test_memory_is_bounded(clock: ManualClock) -> None:
    """A flood of new keys does not make the store grow beyond its maximum."""
    store = MemoryStore(Rate(2, MINUTE), max_keys=100, clock=clock)
    for number in range(1_000):
        store.check(f"flood {number}", count=True)
        assert len(store) <= 100
    assert len(store) == 100


def test_key_with_the_oldest_hit_is_dropped_first(clock: ManualClock) -> None:
    store = MemoryStore(Rate(10, MINUTE), max_keys=3, clock=clock)
    for key in ("a", "b", "c", "a", "d"):
        store.check(key, count=True)
    assert store.check("b", count=False).backlog == 0
    assert store.check("a", count=False).backlog == 2 * 6 * MICROSECONDS


def test_expired_keys_are_dropped_as_new_ones_arrive(clock: ManualClock) -> None:
    store = MemoryStore(Rate(60, MINUTE), clock=clock)
    for number in range(50):
        store.check(f"early {number}", count=True)
    clock.now += MINUTE
    for number in range(30):
        store.check(f"late {number}", count=True)
    assert len(store) == 30


def test_peek_at_an_unknown_key_stores_nothing(clock: ManualClock) -> None:
    """The service peeks at untrusted addresses on every request."""
    store = MemoryStore(Rate(60, MINUTE), clock=clock)
    store.check("203.0.113.9", count=False)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("60/minute", Rate(60, 60)),
        ("1000/hour", Rate(1000, 3600)),
        ("5/10 seconds", Rate(5, 10)),
        ("2 / 1 day", Rate(2, 86400)),
    ],
)
def test_rate_is_parsed(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text", ["", "60", "x/minute", "0/minute", "60/fortnight", "1/second; 5/minute", "-1/minute"]
)
def test_invalid_rate_is_refused(text: str) -> None:
    """A typing error must neither lift a limit nor block the service."""
    with pytest.raises(ValueError, match="60/minute"):
        LimitSettings(mint=text)
