"""`examples/tokenProvider.js` against a token endpoint that fails: it gives a token or a reason."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from testing.doubles.http_double import HttpDouble
from testing.response import Response
from tests.sdk.js.sdk_driver import Driver, SdkError

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl"
PATIENT = 20_000
IMPATIENT = 1_000
"""Milliseconds for an attempt: more than a slow machine needs, and what a test will wait."""


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
        **{"credentials": ["first", "second"], "timeLimit": PATIENT, **options},
    )


def test_it_asks_with_the_credential_and_reads_the_token(
    driver: Driver, endpoint: HttpDouble
) -> None:
    """One POST with the user's credential, the client's API key and the user object."""
    make_provider(driver, endpoint, apiKey="key", user={"id": "john"})
    assert driver.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.to("POST", "/v1/token")
    assert call.headers["authorization"] == "Bearer first"
    assert call.json == {"api_key": "key", "user": {"id": "john"}}


FAILURES = {
    "the connection ends": lambda faults: faults.refuse(),
    "the answer is cut": lambda faults: faults.cut(),
    "unavailable": lambda faults: faults.respond(problem(503, "temporarily_unavailable")),
    "an error in a proxy": lambda faults: faults.respond(Response(502, b"<html>")),
    "a page of a hotel": lambda faults: faults.respond(Response(200, b"<html>please pay")),
    "an empty answer": lambda faults: faults.respond(Response(200, b"")),
    "null": lambda faults: faults.respond(Response(200, None)),
    "too many": lambda faults: faults.respond(problem(429, "rate_limited", **{"Retry-After": "0"})),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_a_passing_failure_is_tried_again(driver: Driver, endpoint: HttpDouble, fail: Any) -> None:
    """Twice a failure that may pass, then the token: the SDK sees the token alone."""
    fail(endpoint.faults)
    fail(endpoint.faults)
    make_provider(driver, endpoint)
    assert driver.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 3


def test_an_attempt_is_limited(driver: Driver, endpoint: HttpDouble) -> None:
    """An endpoint that never answers is left, and asked again."""
    endpoint.faults.hang(times=2)
    make_provider(driver, endpoint, timeLimit=IMPATIENT)
    assert driver.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 3


NO_TOKENS = {
    "no member": {},
    "empty": {"token": ""},
    "null": {"token": None},
    "a number": {"token": 7},
    "an object": {"token": {"token": TOKEN}},
    "quoted": {"token": f'"{TOKEN}"'},
    "a newline": {"token": f"{TOKEN}\n"},
    "two segments": {"token": TOKEN.rpartition(".")[0]},
}


@pytest.mark.parametrize("body", NO_TOKENS.values(), ids=NO_TOKENS)
def test_it_never_resolves_with_a_non_token(
    driver: Driver, endpoint: HttpDouble, body: Any
) -> None:
    """A good status with anything but a token rejects: the SDK would send it to Stream as it is."""
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
def test_a_mistake_is_not_repeated(
    driver: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """What the same request will never pass rejects at once, with the answer's own words."""
    endpoint.faults.respond(problem(status, code), times=None)
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match=f"because {code}") as refused:
        driver.call("callProvider")
    assert refused.value.code == code
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize(("status", "code"), [(401, "sign_in_required"), (403, "user_suspended")])
def test_a_user_who_is_out_is_told_once(
    driver: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """`onSignedOut` is called once, and the service is asked no more."""
    endpoint.faults.respond(problem(status, code))
    make_provider(driver, endpoint)
    for _ in range(3):
        with pytest.raises(SdkError, match=f"because {code}"):
            driver.call("callProvider")
    assert driver.call("seen")["signedOut"] == [code]
    assert len(endpoint.calls.all()) == 1


def test_a_refused_credential_is_refreshed_once(driver: Driver, endpoint: HttpDouble) -> None:
    """After 401 the credential is asked for anew; refused again, it rejects."""
    endpoint.faults.respond(problem(401, "credentials_expired"), times=3)
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because credentials_expired"):
        driver.call("callProvider")
    assert driver.call("seen")["refreshes"] == [False, True]
    assert driver.call("callProvider") == [TOKEN]
    assert driver.call("seen")["refreshes"] == [False, True, False, True]
    assert not driver.call("seen")["signedOut"]


def test_those_who_ask_together_share_one_call(driver: Driver, endpoint: HttpDouble) -> None:
    """Five at once cost one request, also while it is being tried again; the next asks anew."""
    endpoint.faults.refuse()
    make_provider(driver, endpoint)
    assert driver.call("callProvider", times=5) == [TOKEN] * 5
    assert len(endpoint.calls.all()) == 2
    driver.call("callProvider")
    assert len(endpoint.calls.all()) == 3


def test_those_who_ask_together_share_one_failure(driver: Driver, endpoint: HttpDouble) -> None:
    """A failure is shared too, and is not remembered."""
    endpoint.faults.respond(problem(422, "user_invalid"))
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because user_invalid"):
        driver.call("callProvider", times=5)
    assert len(endpoint.calls.all()) == 1
    assert driver.call("callProvider") == [TOKEN]


def test_it_gives_up_in_the_end(driver: Driver, endpoint: HttpDouble) -> None:
    """When the time for attempts is over it rejects with the last reason; later calls ask anew."""
    down = endpoint.faults.respond(problem(503, "temporarily_unavailable"), times=None)
    make_provider(driver, endpoint, giveUpAfter=2_000)
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        driver.call("callProvider")
    assert down.hits >= 2
    endpoint.faults.clear()
    assert driver.call("callProvider") == [TOKEN]


def test_it_waits_as_long_as_it_is_told(driver: Driver, endpoint: HttpDouble) -> None:
    """A `Retry-After` beyond the end of its patience is not waited for, and not ignored either."""
    endpoint.faults.respond(problem(503, "temporarily_unavailable", **{"Retry-After": "61"}))
    make_provider(driver, endpoint)
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        driver.call("callProvider")
    assert len(endpoint.calls.all()) == 1


def test_a_credential_that_hangs_is_limited_too(driver: Driver, endpoint: HttpDouble) -> None:
    """The identity provider's SDK may hang as well: the time limit holds for both together."""
    make_provider(driver, endpoint, credentials=[None, "second"], timeLimit=IMPATIENT)
    assert driver.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.all()
    assert call.headers["authorization"] == "Bearer second"


def test_without_a_credential_it_sends_none(driver: Driver, endpoint: HttpDouble) -> None:
    """A backend with a cookie of its own needs none."""
    make_provider(driver, endpoint, credentials=[])
    assert driver.call("callProvider") == [TOKEN]
    assert "authorization" not in endpoint.calls.all()[0].headers
