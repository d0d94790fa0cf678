"""A Redis that fails or does not respond: hits are counted in memory, and operators hear of it."""

import socketserver
import threading
from collections.abc import Iterator

import pytest
import redis
from prometheus_client import REGISTRY
from pydantic import SecretStr

from testing.logs import CaughtLog, caught_log
from testing.manual_clock import ManualClock
from testing.names import silent_name_server
from testing.redis_server import RedisServer
from testing.service import free_port
from testing.waiting import wait_until
from testing.world import World, minted, running_world
from tokensvc.limits import redis as redis_module
from tokensvc.limits.redis import PAUSE, RedisStore
from tokensvc.limits.rules import Rate
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings

RATE = Rate(60, 60)


@pytest.fixture(scope="module")
def own_server() -> Iterator[RedisServer]:
    """Yield a server of this file, since its tests stop it."""
    server = RedisServer()
    yield server
    server.remove()


@pytest.fixture(autouse=True)
def longer_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let Redis respond in time although the machine is busy."""
    monkeypatch.setattr(redis_module, "TIMEOUT", 1)


@pytest.fixture
def log() -> Iterator[CaughtLog]:
    with caught_log() as log:
        yield log


def limiter(redis_url: str, **rates: str) -> Limiter:
    return Limiter(LimitSettings(**rates), SecretStr(redis_url))


def fallbacks() -> float:
    return REGISTRY.get_sample_value("tokensvc_limiter_fallbacks_total") or 0.0


def test_outage_is_counted_in_memory_and_logged_once(redis_url: str, log: CaughtLog) -> None:
    """Limits hold during an outage; Redis gets one call for each pause, until it recovers."""
    clock = ManualClock(1000.0)
    ours = Limiter(LimitSettings(mint="3/hour"), SecretStr(redis_url), clock=clock)
    with redis.Redis.from_url(redis_url) as server:
        server.flushall()
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


def test_redis_that_is_down_is_replaced_by_memory(log: CaughtLog) -> None:
    ours = limiter(f"redis://127.0.0.1:{free_port()}", mint="3/hour")
    assert [ours.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert [line["event"] for line in log.lines()] == ["limiter_redis_failed"]


def test_one_thread_calls_redis_after_a_pause(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread tries again, the others count in memory instead of waiting with it."""
    store = RedisStore(SecretStr(redis_url), clock=ManualClock(1000.0))
    store._paused_until = 0.0
    nested = []
    evaluate = store._connections.evaluate

    def evaluate_and_check_again(*arguments: object, **options: object) -> object:
        nested.append(store.check("john", RATE, count=False))
        return evaluate(*arguments, **options)

    monkeypatch.setattr(store._connections, "evaluate", evaluate_and_check_again)
    assert store.check("john", RATE, count=True)
    assert nested == [None]


def test_connection_that_redis_closed_is_replaced_without_a_fallback(
    redis_url: str, log: CaughtLog
) -> None:
    """A server with an idle timeout closes connections; that is no outage."""
    store = RedisStore(SecretStr(redis_url))
    assert store.check("john", RATE, count=True)
    with redis.Redis.from_url(redis_url) as server:
        server.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert store.check("john", RATE, count=True)
    assert log.text() == ""


@pytest.mark.sec(65)
def test_frozen_redis_is_not_waited_for(own_server: RedisServer) -> None:
    """Neither a connection that exists nor a new one gets a response."""
    connected, new = (RedisStore(SecretStr(own_server.url)) for _ in range(2))
    assert connected.check("john", RATE, count=True)
    own_server.freeze()
    try:
        assert connected.check("john", RATE, count=True) is None
        assert new.check("john", RATE, count=True) is None
    finally:
        own_server.thaw()


@pytest.mark.sec(65)
def test_redis_is_not_waited_for_while_the_name_server_is_silent() -> None:
    with silent_name_server() as look_ups:
        store = RedisStore(SecretStr("redis://cache.example:6379/0"))
        assert store.check("john", RATE, count=True) is None
        assert look_ups.names == ["cache.example"]


class SlowHandler(socketserver.BaseRequestHandler):
    """Responds to each command of a handshake, each time after a part of the time limit."""

    def handle(self) -> None:
        while self.request.recv(4096):
            threading.Event().wait(redis_module.TIMEOUT * 0.6)
            try:
                self.request.sendall(b"+OK\r\n")
            except OSError:
                return


@pytest.mark.sec(65)
def test_time_limit_includes_all_commands_of_a_new_connection() -> None:
    """Password, database and script are one wait."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), SlowHandler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"redis://:password@127.0.0.1:{server.server_address[1]}/1"
        assert RedisStore(SecretStr(url)).check("john", RATE, count=True) is None
        server.shutdown()


@pytest.fixture(scope="module")
def world(own_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("redis")
    with running_world(folder, TOKENSVC_REDIS_URL=own_server.url) as running:
        yield running


@pytest.mark.sec(60, 65)
def test_service_mints_while_redis_is_frozen_and_reports_it_once(
    world: World, own_server: RedisServer
) -> None:
    ada = world.signed_in("ada")
    mint_until_redis_counts(world)
    before = len(changes(world))
    own_server.freeze()
    try:
        assert [minted(ada).status for _ in range(20)] == [200] * 20
        assert changes(world)[before:] == [("limiter_redis_failed", "warning")]
    finally:
        own_server.thaw()
    mint_until_redis_counts(world)
    assert changes(world)[before + 1] == ("limiter_redis_recovered", "info")


def changes(world: World) -> list[tuple[str, str]]:
    """Return the logged changes of Redis' state: the event and its level."""
    lines = world.service.log_lines()
    return [(line["event"], line["level"]) for line in lines if "limiter_redis" in line["event"]]


def mint_until_redis_counts(world: World) -> None:
    """Mint until Redis counts the limits. A busy machine may make it late at first."""
    failed = ("limiter_redis_failed", "warning")

    def counts() -> bool:
        return minted(world.signed_in("ada")).status == 200 and changes(world)[-1:] != [failed]

    wait_until(counts, "Redis counts the limits")


@pytest.mark.sec(58)
def test_redis_password_is_not_logged(log: CaughtLog) -> None:
    ours = limiter(f"redis://:planted-password@127.0.0.1:{free_port()}/0")
    assert ours.hit("mint", "john").allowed
    assert "limiter_redis_failed" in log.text()
    assert "planted-password" not in log.text()
