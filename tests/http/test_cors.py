"""Which pages may read answers."""

import pytest

from testing.http_client import Client
from tests.http.conftest import Probe
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.cors import Origins, check_pattern

ORIGINS = Origins(["https://app.example", "http://localhost:*", "https://odd.example:8443"])


@pytest.mark.sec(54)
@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example", True),
        ("https://odd.example:8443", True),
        ("http://localhost", True),
        ("http://localhost:5173", True),
        ("null", False),
        ("*", False),
        ("", False),
        ("http://app.example", False),
        ("https://app.example:444", False),
        ("https://app.example.evil.example", False),
        ("https://evil.example/https://app.example", False),
        ("https://APP.example", False),
        ("https://app.example\n", False),
        ("http://localhost.evil.example", False),
        ("http://localhost:5173.evil.example", False),
        ("http://localhost:", False),
        ("http://localhost:*", False),
        ("https://localhost:5173", False),
        ("http://localhost:123456", False),
    ],
)
def test_exact_allow_list(origin: str, *, allowed: bool) -> None:
    """An origin is allowed when it is listed, whole; a port is left open only where it says so."""
    assert ORIGINS.allow(origin) is allowed


@pytest.mark.sec(54)
@pytest.mark.parametrize(
    "pattern",
    [
        "*",
        "null",
        "https://*.example",
        "https://app.example/",
        "https://app.example/path",
        "https://App.example",
        "app.example",
        "ftp://app.example",
        "https://app.example:*",
        "http://192.168.1.2:*",
        "https://user@app.example",
    ],
)
def test_patterns_that_are_refused(pattern: str) -> None:
    """No wildcard but the port of a developer's machine, and nothing that no browser would send."""
    with pytest.raises(ValueError, match="is not an origin"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["https://app.example", "http://[::1]:*", "http://localhost:3"])
def test_patterns_that_are_taken(pattern: str) -> None:
    """Origins as browsers send them are taken as they are."""
    assert check_pattern(pattern) == pattern


@pytest.fixture
def client(probe: Probe) -> Client:
    return Client(probe.app(cors_origins=["https://app.example"]))


@pytest.mark.sec(54)
def test_a_listed_page_reads_answers_and_refusals(client: Client, probe: Probe) -> None:
    """A listed page may read answers, problems too, and the fields that say when to come back."""
    answers = [client.get("/v1/token", headers={"Origin": "https://app.example"})]
    probe.view = _refuse
    answers.append(client.get("/v1/token", headers={"Origin": "https://app.example"}))
    answers.append(client.get("/nowhere", headers={"Origin": "https://app.example"}, valid=False))
    assert [answer.status for answer in answers] == [200, 429, 404]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert set(exposed) == {
            *("Retry-After", "WWW-Authenticate", "X-Request-Id", "RateLimit", "RateLimit-Policy")
        }
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["Vary"] == "Origin"


def _refuse() -> None:
    raise Refusal(Code.RATE_LIMITED, "Too many.", retry_after=7)


@pytest.mark.sec(54)
@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "*"])
def test_other_pages_get_no_leave(client: Client, origin: str | None) -> None:
    """Pages that are not listed, `null` among them, may not read; caches are told so too."""
    headers = {} if origin is None else {"Origin": origin}
    for method in ("GET", "OPTIONS"):
        answer = client.request(
            method,
            "/v1/token",
            headers={**headers, "Access-Control-Request-Method": "POST"},
            valid=False,
        )
        assert not [name for name in answer.headers if name.startswith("Access-Control")]
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.sec(54)
def test_preflight(client: Client) -> None:
    """A listed page learns for ten minutes that it may send a credential and JSON."""
    answer = client.request(
        "OPTIONS",
        "/v1/token",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        valid=False,
    )
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
    assert answer.headers["Access-Control-Allow-Headers"] == "Accept, Authorization, Content-Type"
    assert answer.headers["Access-Control-Max-Age"] == "600"
