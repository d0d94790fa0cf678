"""The credential sources of `clients/js` with doubles of the SDKs of identity providers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from testing.doubles.http_double import HttpDouble
from testing.sdk_driver import Driver, SdkError
from tests.sdk.js.endpoint import TOKEN, problem

SOURCES = ("firebase", "auth0", "supabase", "clerk", "cognito")

PASSING: list[tuple[str, Any]] = [
    ("firebase", "auth/network-request-failed"),
    ("firebase", "auth/too-many-requests"),
    ("auth0", "Failed to fetch"),
    ("auth0", "timeout"),
    ("auth0", "request_error"),
    ("supabase", ("AuthRetryableFetchError", 0)),
    ("supabase", ("AuthRetryableFetchError", 503)),
    ("clerk", "loading"),
    ("clerk", "empty"),
    ("clerk", {"code": "clerk_offline"}),
    ("clerk", {"status": 429}),
    ("clerk", {"status": 502}),
    ("cognito", "NetworkError"),
    ("cognito", "TooManyRequestsException"),
]
SIGNED_OUT: list[tuple[str, Any]] = [
    ("firebase", "nobody"),
    ("firebase", "auth/user-disabled"),
    ("firebase", "auth/user-token-expired"),
    ("firebase", "auth/user-not-found"),
    ("auth0", "login_required"),
    ("auth0", "missing_refresh_token"),
    ("auth0", "invalid_grant"),
    ("supabase", "nobody"),
    ("supabase", ("AuthSessionMissingError", 400)),
    ("supabase", ("AuthApiError", 403)),
    ("supabase", ("AuthApiError", 429)),  # it has removed the session all the same
    ("clerk", "nobody"),
    ("clerk", "ended"),
    ("clerk", {"status": 401}),
    ("cognito", "nobody"),
    ("cognito", "TokenRevokedException"),
    ("cognito", "UserNotFoundException"),
]


@pytest.fixture(scope="module")
def process(node: Path) -> Iterator[Driver]:
    with Driver(node, "client_driver.mjs", "node") as running:
        yield running


@pytest.fixture
def package(process: Driver) -> Driver:
    """Return the process of this file: a test creates a provider of its own."""
    process.call("forgetSeen")
    return process


def make_provider(package: Driver, endpoint: HttpDouble, source: str, failure: Any = None) -> None:
    url = f"{endpoint.url}/v1/token"
    package.call("makeProvider", url=url, source=source, failure=failure)


@pytest.mark.parametrize("source", SOURCES)
def test_refused_credential_is_renewed(package: Driver, endpoint: HttpDouble, source: str) -> None:
    endpoint.faults.respond(problem(401, "credentials_expired"))
    make_provider(package, endpoint, source)
    assert package.call("callProvider") == [TOKEN]
    assert [call.headers["authorization"] for call in endpoint.calls.all()] == [
        "Bearer credential",
        "Bearer fresh",
    ]


@pytest.mark.parametrize(("source", "failure"), PASSING)
def test_failure_that_passes_is_retried(
    package: Driver, endpoint: HttpDouble, source: str, failure: Any
) -> None:
    make_provider(package, endpoint, source, failure)
    assert package.call("callProvider") == [TOKEN]
    assert not package.call("seen")["signedOut"]


@pytest.mark.parametrize(("source", "failure"), SIGNED_OUT)
def test_user_without_a_session_at_the_provider_is_signed_out(
    package: Driver, endpoint: HttpDouble, source: str, failure: Any
) -> None:
    """The service is not asked, and the app is told once."""
    make_provider(package, endpoint, source, failure)
    for _ in range(2):
        with pytest.raises(SdkError) as refused:
            package.call("callProvider")
        assert refused.value.kind == "sign_in_again"
    assert package.call("seen")["signedOut"] == ["signed_out"]
    assert not endpoint.calls.all()
