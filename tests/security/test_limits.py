"""SECURITY 60: what a caller is told of its limits, and what happens when the store is gone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from testing.service import free_port, settings_environ
from testing.service_clients import make_client
from tokensvc.app import container, startup
from tokensvc.app.container import Services
from tokensvc.config import loader as settings
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.credentials import BasicCredential, BearerCredential
from tokensvc.limits import redis as limits_redis
from tokensvc.limits.fields import fields
from tokensvc.limits.rules import LimitState
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings


@pytest.mark.sec(60)
def test_fields_are_structured_items() -> None:
    """The two fields name the same policy, as draft-ietf-httpapi-ratelimit-headers-11 has them."""
    state = LimitState(
        policy="mint", limit=60, remaining=41, reset_after=17, window=60, allowed=True
    )
    assert fields(state) == ('"mint";q=60;w=60', '"mint";r=41;t=17')


@pytest.mark.sec(60)
def test_a_refused_hit_says_when_to_come_back() -> None:
    """What becomes `Retry-After` is a positive whole number of seconds within the window."""
    limiter = Limiter(LimitSettings(mint="2/minute"))
    states = [limiter.hit("mint", "john") for _ in range(3)]
    refused = states[-1]
    assert not refused.allowed
    assert refused.remaining == 0
    assert 1 <= refused.reset_after <= refused.window == 60
    assert re.fullmatch(r'"mint";r=0;t=\d+', fields(refused)[1])


@pytest.mark.sec(60)
def test_a_dead_store_neither_refuses_nor_opens() -> None:
    """Redis that cannot be reached: this process's own memory counts, with the same limit."""
    limiter = Limiter(
        LimitSettings(mint="3/minute"), SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    )
    assert [limiter.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert not limiter.peek("mint", "john").allowed


@pytest.mark.sec(60)
def test_the_store_is_asked_with_short_time_outs() -> None:
    """A store that hangs may cost a request 200 ms and no retries."""
    connection = limits_redis.RedisWindows(
        SecretStr("redis://127.0.0.1:1/0")
    )._storage.storage.connection_pool.make_connection()
    assert connection.socket_timeout <= 0.2
    assert connection.socket_connect_timeout <= 0.2
    assert connection.retry.get_retries() == 0


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Give the services of a process that lets three failures a minute pass."""
    loaded = settings.load(settings_environ(tmp_path, TOKENSVC_LIMITS__FAILURES="3/minute"))
    startup.prepare(loaded)
    services = container.build(loaded)
    yield services
    services.close()


def failures(credential: str) -> float:
    name = "tokensvc_auth_failures_total"
    return REGISTRY.get_sample_value(name, {"credential": credential}) or 0.0


@pytest.mark.sec(60)
@pytest.mark.parametrize(
    ("credential", "kind"),
    [
        (BasicCredential("svc.nobody", "tks_wrong"), "basic"),
        (BearerCredential("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"), "bearer"),
    ],
)
def test_guessing_is_limited_by_address(
    services: Services, credential: BasicCredential | BearerCredential, kind: str
) -> None:
    """After the limit an address gets no answer about credentials; others are not touched."""
    made = make_client(services.database, "backend", "tokens:mint")
    before = failures(kind)
    codes = []
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            services.callers.authenticate(credential, "203.0.113.9")
        codes.append(refused.value.code)
    assert codes == [Code.CREDENTIALS_INVALID] * 3 + [Code.RATE_LIMITED] * 2
    assert failures(kind) == before + 3
    assert refused.value.retry_after
    good = BasicCredential(made.id, made.secret.secret)
    with pytest.raises(Refusal, match="rate_limited"):
        services.callers.authenticate(good, "203.0.113.9")
    for _ in range(10):
        assert services.callers.authenticate(good, "198.51.100.7")
