"""The tests' HTTP client fails a test on anything outside the contract."""

from typing import Any

import pytest

from testing.http_client import Client
from tests.http.conftest import TOKEN, Probe
from tokensvc.core import current_request
from tokensvc.core.errors import Code
from tokensvc.http.respond import Response, json_response


def problem(**changes: Any) -> Response:
    body = {
        "type": "https://tokens.example/docs#user_invalid",
        "title": "t",
        "status": 422,
        "detail": "d",
        "code": Code.USER_INVALID,
        "request_id": current_request.get().request_id,
        **changes,
    }
    response = json_response(body, 422)
    response.headers[-2] = ("Content-Type", "application/problem+json")
    return response


@pytest.mark.parametrize(
    ("view", "complaint"),
    [
        (lambda: json_response(TOKEN, 201), "undeclared 201"),
        (lambda: json_response(TOKEN, 404), "undeclared 404"),
        (lambda: json_response(TOKEN, headers=[("X-Extra", "1")]), "undeclared .'x-extra'."),
        (lambda: Response(200, b"<p>", "text/html"), "undeclared text/html"),
        (lambda: Response(200, b"{}", "application/json", caching=()), "cache-control is missing"),
        (lambda: json_response(TOKEN, headers=[("RateLimit", "lots")]), "header ratelimit"),
        (lambda: json_response({**TOKEN, "expires_in": "3600"}), "is not of type 'integer'"),
        (lambda: json_response({"token": "x"}), "required property"),
        (lambda: Response(200, b"no token", "text/plain"), "does not match"),
        (lambda: problem(code="nonsense"), "is not one of"),
        (lambda: problem(status=400), "status of the problem"),
        (lambda: problem(request_id="another"), "ID of the problem"),
    ],
)
def test_undeclared_response_fails_the_test(
    client: Client, probe: Probe, view: Any, complaint: str
) -> None:
    probe.view = view
    with pytest.raises(AssertionError, match=complaint):
        client.get("/v1/token")


def test_declared_response_passes(client: Client, probe: Probe) -> None:
    """The helper of the cases above makes a valid problem if nothing is changed."""
    probe.view = problem
    assert client.get("/v1/token").code == "user_invalid"


@pytest.mark.parametrize(
    ("method", "path", "options", "complaint"),
    [
        ("GET", "/nowhere", {}, "not in the contract"),
        ("PUT", "/v1/token", {}, "not in the contract"),
        ("GET", "/v1/token", {"query": {"user": "x"}}, "user is not in the contract"),
        ("GET", "/v1/token", {"query": {"ttl": "60"}}, "parameter ttl"),
        ("GET", "/v1/token", {"body": b"{}"}, "takes no body"),
        ("POST", "/v1/token", {"json": {"userId": "john"}}, "the body"),
        ("POST", "/v1/token", {"json": {"user_id": 7}}, "the body"),
        ("POST", "/v1/token", {"body": b"{}"}, "media type"),
    ],
)
def test_request_outside_the_contract_fails_unless_called_invalid(
    client: Client, method: str, path: str, options: Any, complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        client.request(method, path, **options)
