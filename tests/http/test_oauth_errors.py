"""Every refusal of an OAuth route has the form of RFC 6749 section 5.2."""

import re
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from flask import Blueprint

from testing.http_client import Client
from testing.response import Response
from tokensvc.core.errors import Code, OAuthError, Refusal
from tokensvc.http.app import HttpConfig, make_app
from tokensvc.http.form import parse_form
from tokensvc.http.respond import json_response
from tokensvc.sessions.oauth.refresh_token import RefreshTokenForm

PATH = "/oauth/token"
FORM = {"grant_type": "refresh_token", "refresh_token": "junk"}
DESCRIPTION = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")
"""Characters of `error_description` (RFC 6749 section 5.2)."""

Respond = Callable[[Exception], Response]


@pytest.fixture
def respond() -> Respond:
    """Return a function that sends a request to a route which raises an error."""

    def send(error: Exception) -> Response:
        blueprint = Blueprint("oauth", __name__)

        @blueprint.post(PATH)
        def fail() -> NoReturn:
            raise error

        app = make_app(HttpConfig("https://tokens.example"), [blueprint])
        return Client(app).post(PATH, form=FORM)

    return send


@pytest.mark.sec(53)
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("secret detail"), 500, "server_error"),
        (Refusal(Code.TEMPORARILY_UNAVAILABLE, "Later."), 503, "temporarily_unavailable"),
        (Refusal(Code.RATE_LIMITED, "Wait.", retry_after=7), 429, "temporarily_unavailable"),
        (Refusal(Code.CREDENTIALS_EXPIRED, "Use the newer."), 400, "invalid_client"),
        (
            Refusal(Code.CREDENTIALS_INVALID, "No.", oauth_error=OAuthError.INVALID_GRANT),
            400,
            "invalid_grant",
        ),
        (Refusal(Code.MALFORMED_REQUEST, "Send it."), 400, "invalid_request"),
    ],
)
def test_error_of_a_route_has_the_form_of_oauth(
    respond: Respond, error: Exception, status: int, code: str
) -> None:
    response = respond(error)
    assert (response.status, response.json["error"]) == (status, code)
    assert response.body.endswith(b"}\n")
    assert "secret" not in response.text
    assert ("Retry-After" in response.headers) is (status in {429, 503})


def test_description_has_only_the_characters_that_oauth_allows(respond: Respond) -> None:
    response = respond(Refusal(Code.MALFORMED_REQUEST, 'Write "é" … \\ as `a`.\n'))
    assert DESCRIPTION.fullmatch(response.json["error_description"])


@pytest.mark.sec(55)
def test_other_host_gets_the_form_of_oauth() -> None:
    app = make_app(HttpConfig("https://tokens.example"), [])
    response = Client(app).post(PATH, form=FORM, headers={"Host": "other.example"})
    assert (response.status, response.json["error"]) == (400, "invalid_request")


def test_route_that_does_not_exist_gets_a_problem() -> None:
    """Without built-in accounts there is no OAuth."""
    app = make_app(HttpConfig("https://tokens.example"), [])
    assert Client(app).post(PATH, form=FORM).code == "not_found"


@pytest.mark.sec(58)
def test_repr_of_a_form_has_no_token_and_no_secret() -> None:
    found: list[Any] = []
    blueprint = Blueprint("oauth", __name__)

    @blueprint.post(PATH)
    def show() -> Any:
        found.append(repr(parse_form(RefreshTokenForm)))
        return json_response({"access_token": "a", "token_type": "Bearer", "expires_in": 1})

    app = make_app(HttpConfig("https://tokens.example"), [blueprint])
    form = {
        "grant_type": "refresh_token",
        "refresh_token": "s3cret",
        "client_secret": "s3cret",
        "client_id": "app",
    }
    Client(app).post(PATH, form=form)
    assert found == ["RefreshTokenForm(client_id='app')"]
