"""`clients/js` works with the globals of Node, of browsers and of React Native, unchanged."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.doubles.http_double import HttpDouble
from testing.sdk_driver import Driver, SdkError
from tests.sdk.js.endpoint import TOKEN, grant, problem


@pytest.fixture(scope="module", params=["node", "browser", "react-native"])
def process(node: Path, request: pytest.FixtureRequest) -> Iterator[Driver]:
    with Driver(node, "client_driver.mjs", request.param) as running:
        yield running


@pytest.fixture
def platform(process: Driver) -> Driver:
    """Return the process of a platform. Creating its globals takes long: the tests share it."""
    process.call("forgetSeen")
    return process


def make_provider(platform: Driver, endpoint: HttpDouble, **options: object) -> None:
    url = f"{endpoint.url}/v1/token"
    platform.call("makeProvider", url=url, **{"credentials": ["first", "second"], **options})


def test_react_native_has_neither_timeout_nor_reason(node: Path) -> None:
    """The polyfills are in effect, not Node's own classes."""
    with Driver(node, "client_driver.mjs", "react-native") as running:
        assert running.call("platform") == {
            "AbortSignal.timeout": "undefined",
            "signal.reason": False,
            "native fetch": False,
        }


def test_provider_returns_a_token_after_failures(platform: Driver, endpoint: HttpDouble) -> None:
    """After a closed connection, a refused credential, and a busy service."""
    endpoint.faults.refuse()
    endpoint.faults.respond(problem(401, "credentials_expired"))
    endpoint.faults.respond(problem(503, "temporarily_unavailable", **{"Retry-After": "1"}))
    make_provider(platform, endpoint, apiKey="key", user={"id": "john"})
    assert platform.call("callProvider", times=2) == [TOKEN] * 2
    assert [call.headers["authorization"] for call in endpoint.calls.all()] == [
        "Bearer first",
        "Bearer second",
        "Bearer second",
        "Bearer second",
    ]
    assert platform.call("seen")["refreshes"] == [False, False, True, False]
    assert endpoint.calls.all()[-1].json == {"api_key": "key", "user": {"id": "john"}}


def test_attempt_that_hangs_is_repeated(platform: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.hang()
    make_provider(platform, endpoint, timeLimit=1_000)
    assert platform.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 2
    assert not platform.call("seen")["unhandled"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [(403, "user_suspended", "sign_in_again"), (400, "api_key_unknown", "refused")],
)
def test_permanent_failure_has_its_kind(
    platform: Driver, endpoint: HttpDouble, status: int, code: str, kind: str
) -> None:
    endpoint.faults.respond(problem(status, code), times=None)
    make_provider(platform, endpoint)
    with pytest.raises(SdkError, match=f"because {code}") as refused:
        platform.call("callProvider")
    assert (refused.value.code, refused.value.kind) == (code, kind)
    assert len(endpoint.calls.all()) == 1


def test_session_signs_in_and_refreshes(platform: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.respond(grant(1, expires_in=1), "POST /v1/sessions")
    endpoint.faults.respond(grant(2), "POST /oauth/token")
    platform.call("makeSession", url=endpoint.url)
    platform.call("signIn", userId="john", password="correct horse battery")
    assert platform.call("getCredential", times=2) == ["access-2"] * 2
    (refresh,) = endpoint.calls.to("POST", "/oauth/token")
    assert refresh.body == b"grant_type=refresh_token&refresh_token=refresh-1&client_id=app"
    assert refresh.headers["content-type"].startswith("application/x-www-form-urlencoded")
