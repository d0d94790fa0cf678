"""Rate limits against a real Redis: shared and atomic."""

import socketserver
import ssl
import threading
from fractions import Fraction

import redis
import trustme
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from testing.redis_server import RedisServer
from tokensvc.limits.memory import MemoryStore
from tokensvc.limits.redis import SCRIPT, RedisStore
from tokensvc.limits.rules import MICROSECONDS, Decision, Rate
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings


def limiter(redis_url: str, **rates: str) -> Limiter:
    return Limiter(LimitSettings(**rates), SecretStr(redis_url))


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


def test_unix_socket_is_the_same_redis(server: redis.Redis, redis_server: RedisServer) -> None:
    urls = redis_server.url, redis_server.socket_url
    assert [limiter(url, mint="4/hour").hit("mint", "john").remaining for url in urls] == [3, 2]


class TlsHandler(socketserver.StreamRequestHandler):
    """Responds to each command as if the hit passed."""

    def handle(self) -> None:
        while self.rfile.readline():
            parts = [self.rfile.readline() for _ in range(14)]
            assert b"EVALSHA\r\n" in parts
            self.wfile.write(b"*2\r\n:1\r\n:0\r\n")


def test_tls_verifies_the_name_of_the_server(patient: None) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    with (
        authority.cert_pem.tempfile() as path,
        socketserver.ThreadingTCPServer(("127.0.0.1", 0), TlsHandler) as server,
    ):
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hosts = [("localhost", Decision(True, 0)), ("127.0.0.1", None)]
        for host, decision in hosts:
            url = f"rediss://{host}:{server.server_address[1]}/0?ssl_ca_certs={path}"
            assert RedisStore(SecretStr(url)).check("john", Rate(4, 60), count=True) == decision
        server.shutdown()


def test_hit_uses_one_redis_call(server: redis.Redis, redis_url: str) -> None:
    ours = limiter(redis_url, mint="100/hour")
    ours.hit("mint", "john")
    before = server.info("commandstats")["cmdstat_evalsha"]["calls"]
    ours.hit("mint", "john")
    assert server.info("commandstats")["cmdstat_evalsha"]["calls"] == before + 1


def test_keys_expire(server: redis.Redis, redis_url: str) -> None:
    """An idle key leaves Redis by itself."""
    ours = limiter(redis_url, mint="2/minute", failures="9/hour")
    ours.hit("mint", "john")
    ours.hit("failures", "203.0.113.9")
    ours.peek("service", "svc.1")
    assert 0 < server.pttl("tokensvc:limits:mint/john") <= 30_000
    assert 0 < server.pttl("tokensvc:limits:failures/203.0.113.9") <= 400_000
    assert server.dbsize() == 2


def test_script_is_loaded_again_after_a_restart(server: redis.Redis, redis_url: str) -> None:
    """A Redis that lost its scripts, as after a failover, keeps counting."""
    ours = limiter(redis_url, mint="3/hour")
    ours.hit("mint", "john")
    server.script_flush()
    assert ours.hit("mint", "john").remaining == 1
