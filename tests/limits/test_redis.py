"""Rate limits against a real Redis: shared, atomic, and unavailable at any moment."""

import threading
import time
from collections.abc import Iterator
from fractions import Fraction

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from pydantic import SecretStr

from testing.logs import CaughtLog, caught_log
from testing.service import free_port
from tests.limits.clocks import ManualClock
from tokensvc.limits.memory import MemoryStore
from tokensvc.limits.redis import PAUSE, SCRIPT, RedisStore
from tokensvc.limits.rules import MICROSECONDS, Rate
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    """Yield an empty Redis."""
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture
def log() -> Iterator[CaughtLog]:
    with caught_log() as log:
        yield log


def limiter(redis_url: str, **rates: str) -> Limiter:
    return Limiter(LimitSettings(**rates), SecretStr(redis_url))


def fallbacks() -> float:
    return REGISTRY.get_sample_value("tokensvc_limiter_fallbacks_total") or 0.0


def test_instances_share_one_limit(server: redis.Redis, redis_url: str) -> None:
    one, other = (limiter(redis_url, mint="4/hour") for _ in range(2))
    assert [one.hit("mint", "john").allowed for _ in range(3)] == [True] * 3
    assert other.peek("mint", "john").remaining == 1
    assert [other.hit("mint", "john").allowed for _ in range(2)] == [True, False]
    assert other.hit("mint", "jane").allowed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.integers(0, 90_000_000_000), min_size=1, max_size=30),
    limit=st.integers(1, 1000),
)
def test_redis_and_memory_decide_alike(server: redis.Redis, gaps: list[int], limit: int) -> None:
    """The same hits at the same times get the same decisions from the script and in Python."""
    server.flushall()
    rate, now = Rate(limit, 86400), 1_700_000_000_000_000
    script = server.register_script(SCRIPT.replace("redis.call('TIME')", "{ARGV[4], ARGV[5]}"))
    memory = MemoryStore(rate, clock=lambda: Fraction(now, MICROSECONDS))
    for gap in gaps:
        now += gap
        seconds = divmod(now, MICROSECONDS)
        count = gap % 3 != 0
        in_redis = script(["john"], [rate.period, rate.limit, int(count), *seconds])
        assert memory.check("john", count=count) == (in_redis[0] == 1, in_redis[1])


def test_hit_uses_one_redis_call(server: redis.Redis, redis_url: str) -> None:
    ours = limiter(redis_url, mint="100/hour")
    ours.hit("mint", "john")
    before = server.info("commandstats")["cmdstat_evalsha"]["calls"]
    ours.hit("mint", "john")
    assert server.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_hit_passes_after_reset(server: redis.Redis, redis_url: str) -> None:
    """Redis measures the wait that a refused client was given."""
    ours = limiter(redis_url, mint="2/second")
    state = ours.hit("mint", "john")
    while state.allowed:
        state = ours.hit("mint", "john")
    time.sleep(state.reset_after)
    assert ours.hit("mint", "john").allowed


def test_keys_expire(server: redis.Redis, redis_url: str) -> None:
    """An idle key leaves Redis by itself."""
    ours = limiter(redis_url, mint="2/minute", failures="9/hour")
    ours.hit("mint", "john")
    ours.hit("failures", "203.0.113.9")
    ours.peek("service", "svc.1")
    assert 0 < server.pttl("tokensvc:limits:mint/john") <= 30_000
    assert 0 < server.pttl("tokensvc:limits:failures/203.0.113.9") <= 400_000
    assert server.dbsize() == 2


def test_concurrent_hits_never_exceed_the_limit(server: redis.Redis, redis_url: str) -> None:
    """Threads of two instances on one key: exactly the limit passes."""
    instances = [limiter(redis_url, mint="50/hour") for _ in range(2)]
    passed = []
    barrier = threading.Barrier(8)

    def work(ours: Limiter) -> None:
        barrier.wait()
        passed.append(sum(ours.hit("mint", "john").allowed for _ in range(20)))

    threads = [threading.Thread(target=work, args=(instances[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 50


def test_script_is_loaded_again_after_a_restart(server: redis.Redis, redis_url: str) -> None:
    """A Redis that lost its scripts, as after a failover, keeps counting."""
    ours = limiter(redis_url, mint="3/hour")
    ours.hit("mint", "john")
    server.script_flush()
    assert ours.hit("mint", "john").remaining == 1


def test_outage_is_counted_in_memory_and_logged_once(
    server: redis.Redis, redis_url: str, log: CaughtLog
) -> None:
    """Limits hold during an outage; Redis gets one call for each pause, until it recovers."""
    clock = ManualClock()
    ours = Limiter(LimitSettings(mint="3/hour"), SecretStr(redis_url), clock=clock)
    server.config_set("maxmemory", "1")  # every write fails
    before = fallbacks()
    try:
        assert [ours.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
        assert fallbacks() == before + 5
        errors = server.info("stats")["total_error_replies"]
        ours.hit("mint", "john")
        assert server.info("stats")["total_error_replies"] == errors
        clock.now += PAUSE
        ours.hit("mint", "john")
        assert server.info("stats")["total_error_replies"] == errors + 1
    finally:
        server.config_set("maxmemory", "0")
    clock.now += PAUSE
    before = fallbacks()
    assert [ours.hit("mint", "john").remaining for _ in range(2)] == [2, 1]
    assert fallbacks() == before
    events = [line["event"] for line in log.lines()]
    assert events == ["limiter_redis_failed", "limiter_redis_recovered"]


def test_one_thread_calls_redis_after_a_pause(server: redis.Redis, redis_url: str) -> None:
    """While one thread tries again, the others count in memory instead of waiting with it."""
    clock = ManualClock()
    store = RedisStore(SecretStr(redis_url), clock=clock)
    store._paused_until = clock.now
    nested = []
    call = store._gcra

    def call_and_check_again(*arguments: list[str | int]) -> object:
        nested.append(store.check("john", Rate(60, 60), count=False))
        return call(*arguments)

    store._gcra = call_and_check_again
    assert store.check("john", Rate(60, 60), count=True)
    assert nested == [None]


@pytest.mark.sec(58)
def test_redis_password_is_not_logged(log: CaughtLog) -> None:
    ours = limiter(f"redis://:planted-password@127.0.0.1:{free_port()}/0")
    assert ours.hit("mint", "john").allowed
    assert "limiter_redis_failed" in log.text()
    assert "planted-password" not in log.text()
