"""The token provider of `clients/js` with a token endpoint that fails."""

from typing import Any

import pytest

from testing.doubles.http_double import HttpDouble
from testing.response import Response
from testing.sdk_driver import Driver, SdkError
from tests.sdk.js.endpoint import TOKEN, problem

LONG_LIMIT = 20_000
SHORT_LIMIT = 1_000
"""Milliseconds of an attempt: enough for a slow machine, and short enough to wait for."""


def make_provider(package: Driver, endpoint: HttpDouble, **options: Any) -> None:
    package.call(
        "makeProvider",
        url=f"{endpoint.url}/v1/token",
        **{"credentials": ["first", "second"], "timeLimit": LONG_LIMIT, **options},
    )


def test_provider_sends_the_credential_and_returns_the_token(
    package: Driver, endpoint: HttpDouble
) -> None:
    """One POST with the credential, the API key and the user object."""
    make_provider(package, endpoint, apiKey="key", user={"id": "john"})
    assert package.call("callProvider") == [TOKEN]
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
def test_temporary_failure_is_retried(package: Driver, endpoint: HttpDouble, fail: Any) -> None:
    fail(endpoint.faults)
    fail(endpoint.faults)
    make_provider(package, endpoint)
    assert package.call("callProvider") == [TOKEN]
    assert len(endpoint.calls.all()) == 3


def test_attempt_has_a_time_limit(package: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.hang(times=2)
    make_provider(package, endpoint, timeLimit=SHORT_LIMIT)
    assert package.call("callProvider") == [TOKEN]
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
    package: Driver, endpoint: HttpDouble, body: Any
) -> None:
    """The SDK would send any other value to Stream."""
    endpoint.faults.respond(Response(200, body), times=None)
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match="the response contains no token"):
        package.call("callProvider")
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "api_key_unknown"),
        (403, "user_id_mismatch"),
        (422, "user_invalid"),
        (404, "not_found"),
        (502, "backend_refused"),
    ],
)
def test_permanent_refusal_is_not_retried(
    package: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """The rejection has the text of the response."""
    endpoint.faults.respond(problem(status, code), times=None)
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match=f"because {code}") as refused:
        package.call("callProvider")
    assert (refused.value.code, refused.value.kind) == (code, "refused")
    assert len(endpoint.calls.all()) == 1


@pytest.mark.parametrize("body", [b"<html>", b"", {}], ids=["page", "empty", "object"])
def test_refusal_without_a_detail_names_the_status(
    package: Driver, endpoint: HttpDouble, body: Any
) -> None:
    """A proxy refuses, or the URL is wrong."""
    endpoint.faults.respond(Response(404, body), times=None)
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match="/v1/token responded with status 404") as refused:
        package.call("callProvider")
    assert refused.value.kind == "refused"
    assert len(endpoint.calls.all()) == 1


def test_error_of_the_credential_is_retried(package: Driver, endpoint: HttpDouble) -> None:
    make_provider(package, endpoint, credentials=[{"throw": "no network"}, "second"])
    assert package.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.all()
    assert call.headers["authorization"] == "Bearer second"


def test_error_of_the_credential_is_the_reason_of_the_rejection(
    package: Driver, endpoint: HttpDouble
) -> None:
    """Of the first connection, when its time is over."""
    make_provider(package, endpoint, credentials=[{"throw": "no network"}], giveUpAfter=0)
    with pytest.raises(SdkError, match="no credential: Error: no network") as thrown:
        package.call("callProvider")
    assert thrown.value.kind == "try_later"
    assert not endpoint.calls.all()


def test_missing_url_is_refused_at_once(package: Driver) -> None:
    with pytest.raises(SdkError, match="`url` is missing"):
        package.call("makeProvider")


@pytest.mark.parametrize(("status", "code"), [(401, "sign_in_required"), (403, "user_suspended")])
def test_signed_out_user_is_notified_once(
    package: Driver, endpoint: HttpDouble, status: int, code: str
) -> None:
    """The provider makes no further requests."""
    endpoint.faults.respond(problem(status, code))
    make_provider(package, endpoint)
    for _ in range(3):
        with pytest.raises(SdkError, match=f"because {code}") as refused:
            package.call("callProvider")
        assert refused.value.kind == "sign_in_again"
    assert package.call("seen")["signedOut"] == [code]
    assert len(endpoint.calls.all()) == 1


def test_refused_credential_is_refreshed_once(package: Driver, endpoint: HttpDouble) -> None:
    endpoint.faults.respond(problem(401, "credentials_expired"), times=3)
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match="because credentials_expired"):
        package.call("callProvider")
    assert package.call("seen")["refreshes"] == [False, True]
    assert package.call("callProvider") == [TOKEN]
    assert package.call("seen")["refreshes"] == [False, True, False, True]
    assert not package.call("seen")["signedOut"]


def test_concurrent_calls_share_one_request(package: Driver, endpoint: HttpDouble) -> None:
    """Also while the request is repeated. A later call sends a new one."""
    endpoint.faults.refuse()
    make_provider(package, endpoint)
    assert package.call("callProvider", times=5) == [TOKEN] * 5
    assert len(endpoint.calls.all()) == 2
    package.call("callProvider")
    assert len(endpoint.calls.all()) == 3


def test_concurrent_calls_share_one_failure(package: Driver, endpoint: HttpDouble) -> None:
    """The failure is not stored."""
    endpoint.faults.respond(problem(422, "user_invalid"))
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match="because user_invalid"):
        package.call("callProvider", times=5)
    assert len(endpoint.calls.all()) == 1
    assert package.call("callProvider") == [TOKEN]


def test_provider_rejects_after_its_time(package: Driver, endpoint: HttpDouble) -> None:
    """With the last reason. Later calls send new requests."""
    down = endpoint.faults.respond(problem(503, "temporarily_unavailable"), times=None)
    make_provider(package, endpoint, giveUpAfter=2_000)
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        package.call("callProvider")
    assert down.hits >= 2
    endpoint.faults.clear()
    assert package.call("callProvider") == [TOKEN]


def test_provider_whose_user_has_left_stops_asking(package: Driver, endpoint: HttpDouble) -> None:
    """Else it would ask until the end of an outage. The app is not told of a sign-out."""
    make_provider(package, endpoint)
    assert package.call("callProvider") == [TOKEN]
    down = endpoint.faults.respond(problem(503, "temporarily_unavailable"), times=None)
    waiting = package.begin("callProvider")
    endpoint.calls.wait_for("POST", "/v1/token", 3)
    package.call("leave")
    with pytest.raises(SdkError, match="because temporarily_unavailable"):
        waiting.result(timeout=60)
    asked = down.hits
    with pytest.raises(SdkError, match="The user has left"):
        package.call("callProvider")
    assert down.hits == asked
    assert not package.call("seen")["signedOut"]


def test_retry_after_beyond_the_time_rejects_immediately(
    package: Driver, endpoint: HttpDouble
) -> None:
    endpoint.faults.respond(problem(503, "temporarily_unavailable", **{"Retry-After": "61"}))
    make_provider(package, endpoint)
    with pytest.raises(SdkError, match="because temporarily_unavailable") as refused:
        package.call("callProvider")
    assert (refused.value.kind, refused.value.retry_after) == ("try_later", 61)
    assert len(endpoint.calls.all()) == 1


def test_time_limit_includes_the_credential(package: Driver, endpoint: HttpDouble) -> None:
    """The identity provider's SDK may also hang."""
    make_provider(package, endpoint, credentials=[None, "second"], timeLimit=SHORT_LIMIT)
    assert package.call("callProvider") == [TOKEN]
    (call,) = endpoint.calls.all()
    assert call.headers["authorization"] == "Bearer second"


def test_missing_credential_sends_no_authorization(package: Driver, endpoint: HttpDouble) -> None:
    """A backend with a cookie needs none."""
    make_provider(package, endpoint, credentials=[])
    assert package.call("callProvider") == [TOKEN]
    assert "authorization" not in endpoint.calls.all()[0].headers


def test_me_returns_the_user(package: Driver, endpoint: HttpDouble) -> None:
    """Refreshes the credential, and retries, as the provider does."""
    me = {"user_id": "john", "api_key": "key", "issuer": "acme"}
    url = f"{endpoint.url}/v1/me"
    endpoint.faults.respond(problem(401, "credentials_expired"))
    endpoint.faults.respond(problem(503, "temporarily_unavailable"))
    endpoint.faults.respond(Response(200, me), times=None)
    assert package.call("getMe", url=url, credentials=["first", "second"]) == me
    assert [call.headers["authorization"] for call in endpoint.calls.to("GET", "/v1/me")] == [
        "Bearer first",
        "Bearer second",
        "Bearer second",
    ]


def test_success_of_another_server_is_not_the_user(package: Driver, endpoint: HttpDouble) -> None:
    me = {"user_id": "john", "api_key": "key", "issuer": "acme"}
    for portal in (b"<html>", {"welcome": "pay"}, me):
        endpoint.faults.respond(Response(200, portal))
    assert package.call("getMe", url=f"{endpoint.url}/v1/me", credentials=["first"]) == me
    assert len(endpoint.calls.all()) == 3


def test_me_without_an_active_stream_key_is_rejected(package: Driver, endpoint: HttpDouble) -> None:
    """The app never gets `null` for a key."""
    me = {"user_id": "john", "api_key": None, "issuer": "acme"}
    endpoint.faults.respond(Response(200, me), times=None)
    with pytest.raises(SdkError, match="No Stream key is active") as refused:
        package.call("getMe", url=f"{endpoint.url}/v1/me", credentials=["first"], giveUpAfter=0)
    assert refused.value.kind == "try_later"
