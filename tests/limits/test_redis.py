"""Rate limits against a real Redis: shared, atomic, and gone at any moment."""

import threading
import time
from collections.abc import Iterator

import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from testing.logs import CaughtLog, caught_log
from testing.service import free_port
from tokensvc.limits import redis as limits_redis
from tokensvc.limits.redis import RedisWindows
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings


@pytest.fixture
def server(redis_url: str) -> Iterator[redis.Redis]:
    """Give an empty Redis."""
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


def test_instances_count_together(server: redis.Redis, redis_url: str) -> None:
    """Two instances share one limit; a look from either sees the other's hits."""
    one, other = (limiter(redis_url, mint="4/hour") for _ in range(2))
    assert [one.hit("mint", "john").allowed for _ in range(3)] == [True] * 3
    assert other.peek("mint", "john").remaining == 1
    assert [other.hit("mint", "john").allowed for _ in range(2)] == [True, False]
    assert other.hit("mint", "jane").allowed


def test_states_are_those_of_the_memory(server: redis.Redis, redis_url: str) -> None:
    """A caller cannot tell from a state where it was counted."""
    shared, own = limiter(redis_url, mint="3/hour"), Limiter(LimitSettings(mint="3/hour"))
    for _ in range(5):
        ours, theirs = own.hit("mint", "john"), shared.hit("mint", "john")
        assert (theirs.policy, theirs.limit, theirs.remaining, theirs.window, theirs.allowed) == (
            (ours.policy, ours.limit, ours.remaining, ours.window, ours.allowed)
        )
        assert 3590 <= theirs.reset_after <= 3600


def test_one_question_a_hit(server: redis.Redis, redis_url: str) -> None:
    """A hit is counted and looked at in one round trip."""
    ours = limiter(redis_url, mint="100/hour")
    ours.hit("mint", "john")
    before = server.info("commandstats")["cmdstat_evalsha"]["calls"]
    ours.hit("mint", "john")
    assert server.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_whoever_waits_as_told_passes(server: redis.Redis, redis_url: str) -> None:
    """After `reset_after` seconds the refused key passes again."""
    ours = limiter(redis_url, mint="2/second")
    state = ours.hit("mint", "john")
    while state.allowed:
        state = ours.hit("mint", "john")
    time.sleep(state.reset_after + 0.05)
    assert ours.hit("mint", "john").allowed


def test_keys_expire(server: redis.Redis, redis_url: str) -> None:
    """What counts nothing any more leaves the store by itself."""
    ours = limiter(redis_url, mint="2/minute", failures="9/hour")
    ours.hit("mint", "john")
    ours.hit("failures", "203.0.113.9")
    keys = server.keys("*")
    assert len(keys) == 2
    assert all(key.startswith(b"tokensvc:") for key in keys)
    assert all(0 < server.ttl(key) <= 2 * 3600 for key in keys)


def test_concurrent_hits_never_pass_the_limit(server: redis.Redis, redis_url: str) -> None:
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


def test_scripts_are_loaded_again_after_a_restart(server: redis.Redis, redis_url: str) -> None:
    """A Redis that forgot its scripts, as after a failover, goes on counting."""
    ours = limiter(redis_url, mint="3/hour")
    ours.hit("mint", "john")
    server.script_flush()
    assert ours.hit("mint", "john").remaining == 1


class Moving:
    """A monotonic clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_outage_is_counted_in_memory_logged_once_and_ends(
    server: redis.Redis, redis_url: str, log: CaughtLog
) -> None:
    """A Redis in trouble: limits hold, one line a minute, one question a pause, then it is back."""
    clock = Moving()
    ours = Limiter(LimitSettings(mint="3/hour"), SecretStr(redis_url), clock=clock)
    server.config_set("maxmemory", "1")  # every write is refused
    before = fallbacks()
    try:
        assert [ours.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
        assert fallbacks() == before + 5
        refused = server.info("stats")["total_error_replies"]
        ours.hit("mint", "john")
        assert server.info("stats")["total_error_replies"] == refused
        clock.now += limits_redis.PAUSE
        ours.hit("mint", "john")
        assert server.info("stats")["total_error_replies"] == refused + 1
        assert [line["event"] for line in log.lines()] == ["limits.redis_failed"]
        clock.now += limits_redis.LOG_INTERVAL
        ours.hit("mint", "john")
        assert len(log.lines()) == 2
    finally:
        server.config_set("maxmemory", "0")
    clock.now += limits_redis.PAUSE
    before = fallbacks()
    assert [ours.hit("mint", "john").remaining for _ in range(2)] == [2, 1]
    assert fallbacks() == before


def test_one_thread_probes_a_redis_that_was_away(server: redis.Redis, redis_url: str) -> None:
    """While one thread asks again, others count in memory instead of waiting with it."""
    clock = Moving()
    ours = RedisWindows(SecretStr(redis_url), clock=clock)
    ours._paused_until = clock.now
    asked = []

    def ask() -> int:
        asked.append(ours.look("mint/john", 60))
        return 1

    assert ours._ask(ask) == 1
    assert asked == [None]


@pytest.mark.sec(58)
def test_no_password_in_the_log(log: CaughtLog) -> None:
    """The password of a Redis that is not there stands in no line."""
    ours = limiter(f"redis://:planted-password@127.0.0.1:{free_port()}/0")
    assert ours.hit("mint", "john").allowed
    assert "limits.redis_failed" in log.text()
    assert "planted-password" not in log.text()
