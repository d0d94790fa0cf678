"""How answers are made: problems for every refusal, JSON or text for the rest."""

from typing import Any

import pytest

from testing.http_client import SEEN_CODES, Client
from tests.http.conftest import TOKEN, Probe
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.problems import STATUS_AND_TITLE
from tokensvc.http.request_log import set_rate_limit_fields
from tokensvc.http.respond import Reply, json_response, text_response, wants_text
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


def test_every_code_has_a_status_and_a_title() -> None:
    """The table knows each code, and no two share a title."""
    assert STATUS_AND_TITLE.keys() == set(Code)
    assert len({title for _, title in STATUS_AND_TITLE.values()}) == len(Code)


@pytest.mark.sec(50, 53)
@pytest.mark.parametrize("code", TOKEN_CODES)
def test_a_refusal_is_a_problem(client: Client, probe: Probe, code: Code) -> None:
    """The body says what happened and what to do; nobody may keep it; the reason stays here."""
    probe.view = refuse(code, "What to do.", reason="s3cret reason")
    answer = client.get("/v1/token")
    status, title = STATUS_AND_TITLE[code]
    assert answer.status == status
    assert answer.json == {
        "type": f"https://tokens.example/docs#{code}",
        "title": title,
        "status": status,
        "detail": "What to do.",
        "code": code,
        "request_id": answer.headers["X-Request-Id"],
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Pragma"] == "no-cache"


def test_further_members(client: Client, probe: Probe) -> None:
    """A refusal may add members of its own."""
    probe.view = refuse(Code.SIGN_IN_REQUIRED, "Again.", members={"sign_in_after": None})
    answer = client.get("/v1/token")
    assert answer.json["sign_in_after"] is None
    assert answer.json["code"] == "sign_in_required"


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
def test_challenges(
    client: Client, probe: Probe, refusal: Refusal, authorization: str, challenge: str
) -> None:
    """A 401 says which credential would do (RFC 6750, RFC 7617, RFC 9470)."""

    def view() -> None:
        raise refusal

    probe.view = view
    answer = client.get("/v1/token", headers={"Authorization": authorization})
    assert answer.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    ("code", "retry_after", "sent"),
    [
        (Code.RATE_LIMITED, 42, "42"),
        (Code.RATE_LIMITED, None, "5"),
        (Code.TEMPORARILY_UNAVAILABLE, 1, "1"),
        (Code.TEMPORARILY_UNAVAILABLE, None, "5"),
    ],
)
def test_retry_after(
    client: Client, probe: Probe, code: Code, retry_after: int | None, sent: str
) -> None:
    """429 and 503 always say when to come back."""
    probe.view = refuse(code, "Wait.", retry_after=retry_after)
    assert client.get("/v1/token").headers["Retry-After"] == sent


@pytest.mark.parametrize("refused", [False, True])
def test_rate_limit_fields(client: Client, probe: Probe, *, refused: bool) -> None:
    """The fields go with the answer, a refusal included, and not with the next request's."""

    def view() -> Reply:
        set_rate_limit_fields('"mint";q=60;w=60', '"mint";r=0;t=41')
        if refused:
            raise Refusal(Code.RATE_LIMITED, "Too many.")
        return json_response(TOKEN)

    probe.view = view
    answer = client.get("/v1/token")
    assert answer.headers["RateLimit-Policy"] == '"mint";q=60;w=60'
    assert answer.headers["RateLimit"] == '"mint";r=0;t=41'
    assert "RateLimit" not in client.get("/v1/me").headers


@pytest.mark.sec(53)
@pytest.mark.parametrize("error", [RuntimeError("s3cret"), KeyError("s3cret"), RecursionError()])
def test_a_fault_of_ours(client: Client, probe: Probe, error: Exception) -> None:
    """An exception that nobody foresaw is 500 without a word about it."""

    def view() -> None:
        raise error

    probe.view = view
    answer = client.get("/v1/token")
    assert (answer.status, answer.code) == (500, "internal_error")
    assert "s3cret" not in answer.text
    assert type(error).__name__ not in answer.text
    SEEN_CODES.add(answer.code)
    assert client.get("/v1/me").status == 200


@pytest.mark.parametrize("nothing", [None, "text", {"token": "x"}, (b"", 200)])
def test_a_view_answers_with_a_reply(client: Client, probe: Probe, nothing: Any) -> None:
    """A view that forgets to answer, or answers as Flask would guess, is a fault of ours."""
    probe.view = lambda: nothing
    assert client.get("/v1/token").code == "internal_error"


@pytest.mark.parametrize(
    ("accept", "answer"),
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
def test_negotiation(client: Client, probe: Probe, accept: str | None, answer: str) -> None:
    """JSON unless plain text is preferred (RFC 9110 section 12.5.1); neither: 406."""
    probe.view = lambda: text_response(TOKEN["token"]) if wants_text() else json_response(TOKEN)
    headers = {} if accept is None else {"Accept": accept}
    received = client.get("/v1/token", headers=headers)
    if answer == "406":
        assert (received.status, received.code) == (406, "not_acceptable")
    elif answer == "text":
        assert received.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert received.text == TOKEN["token"]
    else:
        assert received.json == TOKEN
