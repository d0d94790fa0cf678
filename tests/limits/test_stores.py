"""Limits in memory and in Redis: the same hits pass."""

import threading
import time
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings

NewLimiter = Callable[..., Limiter]


@pytest.fixture(params=["memory", "redis"])
def limiter(request: pytest.FixtureRequest) -> NewLimiter:
    """Return a function that returns a limiter with rates, in memory or in Redis."""
    url = None
    if request.param == "redis":
        request.getfixturevalue("server")
        url = SecretStr(request.getfixturevalue("redis_url"))
    return lambda **rates: Limiter(LimitSettings(**rates), url)


def test_burst_of_twenty_passes_by_default(limiter: NewLimiter) -> None:
    """One JavaScript client can send five requests at the same time; an app has several."""
    ours = limiter()
    assert all(ours.hit("mint", "john").allowed for _ in range(20))


def test_policies_count_separately(limiter: NewLimiter) -> None:
    """The same text as a user ID and as an address is two keys."""
    ours = limiter(mint="1/minute", failures="1/minute")
    assert ours.hit("mint", "x").allowed
    assert ours.hit("failures", "x").allowed
    assert not ours.hit("mint", "x").allowed


def test_peek_does_not_count(limiter: NewLimiter) -> None:
    ours = limiter(failures="2/day")
    for _ in range(5):
        assert ours.peek("failures", "203.0.113.9").remaining == 2
    ours.hit("failures", "203.0.113.9")
    ours.hit("failures", "203.0.113.9")
    peeked = ours.peek("failures", "203.0.113.9")
    assert (peeked.allowed, peeked.remaining) == (False, 0)
    assert 43_000 < peeked.reset_after <= 43_200


def test_hit_passes_after_the_wait_that_was_given(limiter: NewLimiter) -> None:
    """A client that retries too early does not extend its wait."""
    ours = limiter(mint="2/2 seconds")
    while (state := ours.hit("mint", "john")).allowed:
        pass
    for _ in range(3):
        ours.hit("mint", "john")
    time.sleep(state.reset_after)
    assert ours.hit("mint", "john").allowed


class SlowKey(str):
    """A key that lets other threads run whenever it is looked up in memory."""

    __slots__ = ()

    def __hash__(self) -> int:
        time.sleep(0.001)
        return super().__hash__()


def test_concurrent_hits_never_exceed_the_limit(limiter: NewLimiter) -> None:
    """Threads on one new key: exactly the limit passes."""
    ours = limiter(mint="50/hour")
    passed = []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        passed.append(sum(ours.hit("mint", SlowKey("john")).allowed for _ in range(10)))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 50
