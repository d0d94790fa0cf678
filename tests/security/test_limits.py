"""SECURITY 60: RateLimit fields, limits during an outage of Redis, and failures by address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from testing.service import free_port, settings_environ
from tokensvc.app import startup
from tokensvc.app.services import Services
from tokensvc.config import loader as settings
from tokensvc.core.callers import BasicCredential, BearerCredential
from tokensvc.core.errors import Code, Refusal
from tokensvc.limits.rules import LimitState
from tokensvc.limits.service import Limiter
from tokensvc.limits.settings import LimitSettings


@pytest.mark.sec(60)
def test_fields_are_structured_items() -> None:
    """Both fields name the same policy, as in draft-ietf-httpapi-ratelimit-headers-11."""
    state = LimitState(
        policy="mint", limit=60, remaining=41, reset_after=17, window=60, allowed=True
    )
    assert state.fields() == ('"mint";q=60;w=60', '"mint";r=41;t=17')


@pytest.mark.sec(60)
def test_unreachable_redis_neither_refuses_nor_lifts_limits() -> None:
    """The memory of this process counts with the same limit."""
    limiter = Limiter(
        LimitSettings(mint="3/minute"), SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    )
    assert [limiter.hit("mint", "john").allowed for _ in range(5)] == [True] * 3 + [False] * 2
    assert not limiter.peek("mint", "john").allowed


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Yield the services of a process that allows three failures a minute."""
    loaded = settings.load(settings_environ(tmp_path, TOKENSVC_LIMITS__FAILURES="3/minute"))
    startup.create_database(loaded)
    services = startup.prepare(loaded)
    yield services
    services.close()


def failures(credential: str) -> float:
    name = "tokensvc_auth_failures_total"
    return REGISTRY.get_sample_value(name, {"credential": credential}) or 0.0


@pytest.mark.sec(60)
@pytest.mark.parametrize(
    ("credential", "kind"),
    [
        (BasicCredential("svc.unknown", "tks_wrong"), "basic"),
        (BearerCredential("eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"), "bearer"),
    ],
)
def test_failures_are_limited_by_address(
    services: Services, credential: BasicCredential | BearerCredential, kind: str
) -> None:
    """Each failure is counted, also beyond the limit. `tests/callers` has who is refused."""
    before = failures(kind)
    codes = []
    for _ in range(5):
        with pytest.raises(Refusal) as refused:
            services.callers.authenticate(credential, "203.0.113.9")
        codes.append(refused.value.code)
    assert codes == [Code.CREDENTIALS_INVALID] * 3 + [Code.RATE_LIMITED] * 2
    assert failures(kind) == before + 5
