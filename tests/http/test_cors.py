"""Origins that may read responses."""

import pytest

from testing.http_client import Client
from tests.http.conftest import Log, Probe
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.cors import allows, check_pattern

ORIGINS = ["https://app.example", "http://localhost:*", "https://odd.example:8443"]


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
def test_only_listed_origins_are_allowed(origin: str, *, allowed: bool) -> None:
    """Origins match completely; a pattern with `:*` also matches any port."""
    assert allows(ORIGINS, origin) is allowed


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
def test_invalid_origin_pattern_is_refused(pattern: str) -> None:
    """No wildcard except the port of loopback names, and only origins that a browser sends."""
    with pytest.raises(ValueError, match="is not an origin"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["https://app.example", "http://[::1]:*", "http://localhost:3"])
def test_valid_origin_pattern_is_kept(pattern: str) -> None:
    assert check_pattern(pattern) == pattern


@pytest.fixture
def client(probe: Probe) -> Client:
    return Client(probe.app(cors_origins=["https://app.example"]))


@pytest.mark.sec(54)
def test_listed_origin_can_read_responses_and_problems(client: Client, probe: Probe) -> None:
    """Also the fields that contain waiting times."""
    responses = [client.get("/v1/token", headers={"Origin": "https://app.example"})]
    probe.view = _refuse
    responses.append(client.get("/v1/token", headers={"Origin": "https://app.example"}))
    responses.append(client.get("/nowhere", headers={"Origin": "https://app.example"}, valid=False))
    assert [response.status for response in responses] == [200, 429, 404]
    for response in responses:
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
        exposed = response.headers["Access-Control-Expose-Headers"].split(", ")
        assert set(exposed) == {
            *("Retry-After", "WWW-Authenticate", "X-Request-Id", "RateLimit", "RateLimit-Policy")
        }
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert response.headers["Vary"] == "Origin"


def _refuse() -> None:
    raise Refusal(Code.RATE_LIMITED, "Too many.", retry_after=7)


@pytest.mark.sec(54)
@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "*"])
def test_unlisted_origin_gets_no_cors_fields(client: Client, origin: str | None) -> None:
    """`null` too, and caches get `Vary`."""
    headers = {} if origin is None else {"Origin": origin}
    for method in ("GET", "OPTIONS"):
        response = client.request(
            method,
            "/v1/token",
            headers={**headers, "Access-Control-Request-Method": "POST"},
            valid=False,
        )
        assert not [name for name in response.headers if name.startswith("Access-Control")]
        assert response.headers["Vary"] == "Origin"


@pytest.mark.sec(54, 58)
def test_refused_origin_is_logged_once_with_the_setting(log: Log, probe: Probe) -> None:
    """Neither a malformed one nor the service's own, which needs no permission."""
    client = Client(probe.app(cors_origins=["https://app.example"]))
    for origin in (
        "http://localhost:3000",
        "null",
        "https://app.example",
        "https://tokens.example",
        "https://evil.example\x1b[2J",
        f"https://{'a' * 300}.example",
    ):
        for method in ("OPTIONS", "GET"):
            client.request(method, "/v1/token", headers={"Origin": origin}, valid=False)
    refused = [line for line in log.lines if line["event"] == "cors_origin_refused"]
    assert [line["origin"] for line in refused] == ["http://localhost:3000", "null"]
    assert {line["hint"] for line in refused} == {
        "If this is your web app, add it to `cors.origins`."
    }


@pytest.mark.sec(54)
def test_preflight_allows_credentials_and_json_for_ten_minutes(client: Client) -> None:
    response = client.request(
        "OPTIONS",
        "/v1/token",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type",
        },
        valid=False,
    )
    assert response.status == 204
    assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS, POST"
    assert response.headers["Access-Control-Allow-Headers"] == "Accept, Authorization, Content-Type"
    assert response.headers["Access-Control-Max-Age"] == "600"
