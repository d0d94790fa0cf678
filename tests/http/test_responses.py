"""Responses: a problem for each refusal, otherwise JSON or text."""

from typing import Any

import pytest

from testing.http_client import SEEN_CODES, Client
from tests.http.conftest import TOKEN, Probe
from tokensvc.core.current_request import set_rate_limit_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.problems import STATUS_AND_TITLE
from tokensvc.http.respond import Response, json_response, text_response, wants_text
from tokensvc.ops.contract import contract


def refuse(*args: Any, **kwargs: Any) -> Any:
    def view() -> None:
        raise Refusal(*args, **kwargs)

    return view


TOKEN_CODES = sorted(
    code
    for code, (status, _) in STATUS_AND_TITLE.items()
    if str(status) in contract()["paths"]["/v1/token"]["get"]["responses"]
)


def test_each_code_has_a_status_and_a_unique_title() -> None:
    assert STATUS_AND_TITLE.keys() == set(Code)
    assert len({title for _, title in STATUS_AND_TITLE.values()}) == len(Code)


@pytest.mark.sec(50, 53)
@pytest.mark.parametrize("code", TOKEN_CODES)
def test_refusal_becomes_a_problem(client: Client, probe: Probe, code: Code) -> None:
    """The body has the detail and not the reason, and the response must not be cached."""
    probe.view = refuse(code, "What to do.", reason="s3cret reason")
    response = client.get("/v1/token")
    status, title = STATUS_AND_TITLE[code]
    assert response.status == status
    assert response.json == {
        "type": f"https://tokens.example/docs#{code}",
        "title": title,
        "status": status,
        "detail": "What to do.",
        "code": code,
        "request_id": response.headers["X-Request-Id"],
    }
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"


def test_refusal_members_are_in_the_problem(client: Client, probe: Probe) -> None:
    probe.view = refuse(Code.SIGN_IN_REQUIRED, "Again.", members={"sign_in_after": None})
    response = client.get("/v1/token")
    assert response.json["sign_in_after"] is None
    assert response.json["code"] == "sign_in_required"


@pytest.mark.parametrize(
    "view",
    [lambda: json_response(TOKEN), refuse(Code.USER_SUSPENDED, "No."), lambda: 1 // 0],
    ids=["a result", "a refusal", "an internal error"],
)
def test_json_body_ends_with_one_newline(client: Client, probe: Probe, view: Any) -> None:
    """The outputs of two `curl` commands do not run together. The length includes it."""
    probe.view = view
    response = client.get("/v1/token")
    assert response.body.rstrip() + b"\n" == response.body
    assert response.headers["Content-Length"] == str(len(response.body))


STEP_UP = 'Bearer realm="tokensvc", error="insufficient_user_authentication", '


@pytest.mark.parametrize(
    ("refusal", "authorization", "challenge"),
    [
        (Refusal(Code.CREDENTIALS_MISSING, "Send one."), "", 'Bearer realm="tokensvc"'),
        (
            Refusal(Code.CREDENTIALS_INVALID, "Another."),
            "Bearer abc",
            'Bearer realm="tokensvc", error="invalid_token"',
        ),
        (
            Refusal(Code.CREDENTIALS_EXPIRED, "Renew."),
            "Bearer abc",
            'Bearer realm="tokensvc", error="invalid_token", error_description="expired"',
        ),
        (
            Refusal(Code.CREDENTIALS_INVALID, "Another."),
            "basic abc",
            'Basic realm="tokensvc", charset="UTF-8"',
        ),
        (
            Refusal(Code.SIGN_IN_REQUIRED, "Again.", max_age=17),
            "Bearer abc",
            STEP_UP + 'error_description="sign in again", max_age="17"',
        ),
        (
            Refusal(Code.SIGN_IN_REQUIRED, "Again.", max_age=0),
            "Basic abc",
            STEP_UP + 'error_description="sign in again", max_age="0"',
        ),
    ],
)
def test_401_has_the_challenge_of_its_code(
    client: Client, probe: Probe, refusal: Refusal, authorization: str, challenge: str
) -> None:
    """RFC 6750, RFC 7617 and RFC 9470."""

    def view() -> None:
        raise refusal

    probe.view = view
    response = client.get("/v1/token", headers={"Authorization": authorization})
    assert response.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    ("code", "retry_after", "sent"),
    [
        (Code.RATE_LIMITED, 42, "42"),
        (Code.RATE_LIMITED, None, "5"),
        (Code.TEMPORARILY_UNAVAILABLE, 1, "1"),
        (Code.TEMPORARILY_UNAVAILABLE, None, "5"),
    ],
)
def test_429_and_503_have_retry_after(
    client: Client, probe: Probe, code: Code, retry_after: int | None, sent: str
) -> None:
    """The refusal's seconds, or 5."""
    probe.view = refuse(code, "Wait.", retry_after=retry_after)
    assert client.get("/v1/token").headers["Retry-After"] == sent


@pytest.mark.parametrize("refused", [False, True])
def test_rate_limit_fields_are_in_this_response_only(
    client: Client, probe: Probe, *, refused: bool
) -> None:
    """A refusal has them too; the next request has none."""

    def view() -> Response:
        set_rate_limit_fields('"mint";q=60;w=60', '"mint";r=0;t=41')
        if refused:
            raise Refusal(Code.RATE_LIMITED, "Too many.")
        return json_response(TOKEN)

    probe.view = view
    response = client.get("/v1/token")
    assert response.headers["RateLimit-Policy"] == '"mint";q=60;w=60'
    assert response.headers["RateLimit"] == '"mint";r=0;t=41'
    assert "RateLimit" not in client.get("/v1/me").headers


@pytest.mark.sec(53)
@pytest.mark.parametrize("error", [RuntimeError("s3cret"), KeyError("s3cret"), RecursionError()])
def test_unexpected_exception_gets_500_without_details(
    client: Client, probe: Probe, error: Exception
) -> None:

    def view() -> None:
        raise error

    probe.view = view
    response = client.get("/v1/token")
    assert (response.status, response.code) == (500, "internal_error")
    assert "s3cret" not in response.text
    assert type(error).__name__ not in response.text
    SEEN_CODES.add(response.code)
    assert client.get("/v1/me").status == 200


@pytest.mark.parametrize("nothing", [None, "text", {"token": "x"}, (b"", 200)])
def test_view_without_reply_gets_500(client: Client, probe: Probe, nothing: Any) -> None:
    """A view that returns nothing, or a value that Flask would convert, is an internal error."""
    probe.view = lambda: nothing
    assert client.get("/v1/token").code == "internal_error"


@pytest.mark.parametrize(
    ("accept", "response"),
    [
        (None, "json"),
        ("", "406"),
        ("*/*", "json"),
        ("application/json", "json"),
        ("application/*", "json"),
        ("text/plain", "text"),
        ("TEXT/Plain", "text"),
        ("text/*", "text"),
        ("text/plain; charset=utf-8", "text"),
        ("text/plain, application/json", "json"),
        ("text/plain, application/json;q=0.9", "text"),
        ("text/plain;q=0.5, */*;q=0.1", "text"),
        ("application/json;q=0, */*", "text"),
        ("application/json, text/plain, */*", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/html", "406"),
        ("application/json;q=0", "406"),
        ("application/json;q=none", "406"),
        ("application/json;q=nan", "406"),
        ("image/*, text/html", "406"),
        ("nonsense", "406"),
        (",;,=", "406"),
    ],
)
def test_accept_selects_json_or_text(
    client: Client, probe: Probe, accept: str | None, response: str
) -> None:
    """JSON unless plain text is preferred (RFC 9110 section 12.5.1); 406 if neither is accepted."""
    probe.view = lambda: text_response(TOKEN["token"]) if wants_text() else json_response(TOKEN)
    headers = {} if accept is None else {"Accept": accept}
    received = client.get("/v1/token", headers=headers)
    if response == "406":
        assert (received.status, received.code) == (406, "not_acceptable")
    elif response == "text":
        assert received.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert received.text == TOKEN["token"]
    else:
        assert received.json == TOKEN
