"""`examples/tokenProvider.js` with a token endpoint that fails."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from testing.doubles.http_double import HttpDouble
from testing.response import Response
from tests.sdk.js.sdk_driver import Driver, SdkError

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl"
LONG_LIMIT = 20_000
SHORT_LIMIT = 1_000
"""Milliseconds of an attempt: enough for a slow machine, and short enough to wait for."""


@pytest.fixture
def endpoint() -> Iterator[HttpDouble]:
    with HttpDouble(lambda _: Response(200, {"token": TOKEN}), clock=time.time) as double:
        yield double


def problem(status: int, code: str, **headers: str) -> Response:
    return Response(status, {"status": status, "code": code, "detail": f"because {code}"}, headers)


def make_provider(driver: Driver, endpoint: HttpDouble, **options: Any) -> None:
    driver.call(
        "makeProvider",
        url=f"{endpoint.url}/v1/token",
        **{"credentials": ["first", "second"], "timeLimit": LONG_LIMIT, **options},
    )


def test_provider_sends_the_credential_and_returns_the_token(
    driver: Driver, endpoint: HttpDouble
) -> None:
    """One POST with the credential, the API key and the user object."""
    make_provider(driver, endpoint, apiKey="key", user={"id": "john"})
    assert driver.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.to("POST", "/v1/token")
    assert call.headers["authorization"] == "Bearer first"
    assert call.json == {"api_key": "key", "user": {"id": "john"}}


FAILURES = {
    "closed connection": lambda faults: faults.refuse(),
    "incomplete response": lambda faults: faults.cut(),
    "unavailable service": lambda faults: faults.respond(problem(503, "temporarily_unavailable")),
    "error of a proxy": lambda faults: faults.respond(Response(502, b"<html>")),
    "page of a captive portal": lambda faults: faults.respond(Response(200, b"<html>please pay")),
    "empty response": lambda faults: faults.respond(Response(200, b"")),
    "null": lambda faults: faults.respond(Response(200, None)),
    "rate limit": lambda faults: faults.respond(
        problem(429, "rate_limited", **{"Retry-After": "0"})
    ),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_temporary_failure_is_retried(driver: Driver, endpoint: HttpDouble, fail: Any) -> None:
    fail(endpoint.faults)
    fail(endpoint.faults)
    make_provider(driver, endpoint)
    assert driver.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 3


def test_attempt_has_a_time_limit(driver: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.hang(times=2)
    make_provider(driver, endpoint, timeLimit=SHORT_LIMIT)
    assert driver.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 3


NO_TOKENS = {
    "no member": {},
    "empty": {"token": ""},
    "null": {"token": None},
    "number": {"token": 7},
    "object": {"token": {"token": TOKEN}},
    "quoted": {"token": f'"{TOKEN}"'},
    "newline": {"token": f"{TOKEN}\n"},
    "two segments": {"token": TOKEN.rpartition(".")[0]},
}


@pytest.mark.parametrize("body", NO_TOKENS.values(), ids=NO_TOKENS)
def test_response_without_a_token_is_rejected(
    driver: Driver, endpoint: HttpDouble, body: Any
) -> None:
    """The SDK would send any other value to Stream."""
    endpoint.faults.respond(Response(200, body), times=None)
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="the response contains no token"):
        driver.call("callProvider")
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "api_key_unknown"),
        (403, "user_id_mismatch"),
        (422, "user_invalid"),
        (404, "not_found"),
    ],
)
def test_permanent_refusal_is_not_retried(
    driver: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """The rejection has the text of the response."""
    endpoint.faults.respond(problem(status, code), times=None)
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match=f"because {code}") as refused:
        driver.call("callProvider")
    assert refused.value.code == code
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize(("status", "code"), [(401, "sign_in_required"), (403, "user_suspended")])
def test_signed_out_user_is_notified_once(
    driver: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """The provider makes no further requests."""
    endpoint.faults.respond(problem(status, code))
    make_provider(driver, endpoint)
    for _ in range(3):
        with pytest.raises(SdkError, match=f"because {code}"):
            driver.call("callProvider")
    assert driver.call("seen")["signedOut"] == [code]
    assert len(endpoint.calls.all()) == 1


def test_refused_credential_is_refreshed_once(driver: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.respond(problem(401, "credentials_expired"), times=3)
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because credentials_expired"):
        driver.call("callProvider")
    assert driver.call("seen")["refreshes"] == [False, True]
    assert driver.call("callProvider") == [TOKEN]
    assert driver.call("seen")["refreshes"] == [False, True, False, True]
    assert not driver.call("seen")["signedOut"]


def test_concurrent_calls_share_one_request(driver: Driver, endpoint: HttpDouble) -> None:
    """Also while the request is repeated. A later call sends a new one."""
    endpoint.faults.refuse()
    make_provider(driver, endpoint)
    assert driver.call("callProvider", times=5) == [TOKEN] * 5
    assert len(endpoint.calls.all()) == 2
    driver.call("callProvider")
    assert len(endpoint.calls.all()) == 3


def test_concurrent_calls_share_one_failure(driver: Driver, endpoint: HttpDouble) -> None:
    """The failure is not stored."""
    endpoint.faults.respond(problem(422, "user_invalid"))
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because user_invalid"):
        driver.call("callProvider", times=5)
    assert len(endpoint.calls.all()) == 1
    assert driver.call("callProvider") == [TOKEN]


def test_provider_rejects_after_its_time(driver: Driver, endpoint: HttpDouble) -> None:
    """With the last reason. Later calls send new requests."""
    down = endpoint.faults.respond(problem(503, "temporarily_unavailable"), times=None)
    make_provider(driver, endpoint, giveUpAfter=2_000)
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        driver.call("callProvider")
    assert down.hits >= 2
    endpoint.faults.clear()
    assert driver.call("callProvider") == [TOKEN]


def test_retry_after_beyond_the_time_rejects_immediately(
    driver: Driver, endpoint: HttpDouble
) -> None:
    endpoint.faults.respond(problem(503, "temporarily_unavailable", **{"Retry-After": "61"}))
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        driver.call("callProvider")
    assert len(endpoint.calls.all()) == 1


def test_time_limit_includes_the_credential(driver: Driver, endpoint: HttpDouble) -> None:
    """The identity provider's SDK may also hang."""
    make_provider(driver, endpoint, credentials=[None, "second"], timeLimit=SHORT_LIMIT)
    assert driver.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.all()
    assert call.headers["authorization"] == "Bearer second"


def test_missing_credential_sends_no_authorization(driver: Driver, endpoint: HttpDouble) -> None:
    """A backend with a cookie needs none."""
    make_provider(driver, endpoint, credentials=[])
    assert driver.call("callProvider") == [TOKEN]
    assert "authorization" not in endpoint.calls.all()[0].headers
