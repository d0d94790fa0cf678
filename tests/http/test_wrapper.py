"""The wrapper around every request."""

import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import prometheus_client
import pytest
from flask import Blueprint, request

from testing.contract_checks import operations_at
from testing.http_client import Client
from testing.service import EVERYTHING, settings_environ
from tests.http.conftest import TOKEN, Probe
from tokensvc.app import mount, startup
from tokensvc.config.loader import load
from tokensvc.core import deadline
from tokensvc.http.app import HttpConfig, make_app
from tokensvc.http.respond import json_response
from tokensvc.ops.contract import contract

TEMPLATES = sorted(contract()["paths"])
STRANGE = ["PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "GE"]
PATHS = [re.sub(r"\{\w+\}", "john", template) for template in TEMPLATES]


def _allowed(path: str) -> str:
    methods = {method.upper() for method in operations_at(path) or ()}
    return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Return a client of the application with all its routes."""
    environ = settings_environ(tmp_path_factory.mktemp("service"), **EVERYTHING)
    settings = load(environ)
    startup.create_database(settings)
    services = startup.prepare(settings)
    yield Client(mount.build_app(services))
    services.close()


@pytest.mark.sec(53, 56)
@pytest.mark.parametrize(
    "path",
    [
        *("/", "/v1", "/v1/token/", "/v1//token", "/V1/TOKEN", "/%00", "/é", "/docs/x"),
        *("//v1/token", "///v1/token", "//metrics", "//", "//healthz"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS", "TRACE"])
def test_unknown_path_gets_404(client: Client, method: str, path: str) -> None:
    """No redirect and no approximate match."""
    response = client.request(method, path, valid=False)
    assert (response.status, response.code) == (404, "not_found")


@pytest.mark.sec(53, 56)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for path in PATHS
        for method in STRANGE
        if method not in _allowed(path).split(", ")
    ],
)
def test_undeclared_method_gets_405_with_allow(whole: Client, method: str, path: str) -> None:
    response = whole.request(method, path, valid=False)
    assert (response.status, response.code) == (405, "method_not_allowed")
    assert response.headers["Allow"] == _allowed(path)
    assert response.json["detail"] == f"The path supports only {_allowed(path)}."


@pytest.mark.sec(56)
@pytest.mark.parametrize("path", PATHS)
def test_options_lists_the_methods_of_a_path(whole: Client, path: str) -> None:
    response = whole.request("OPTIONS", path, valid=False)
    assert response.status == 204
    assert response.headers["Allow"] == _allowed(path)


@pytest.mark.sec(56)
def test_options_asterisk_lists_all_methods(client: Client) -> None:
    """RFC 9110 section 9.3.7."""
    response = client.request("OPTIONS", "*", valid=False)
    assert response.status == 204
    assert set(response.headers["Allow"].split(", ")) >= {"GET", "POST", "OPTIONS"}


@pytest.mark.sec(56)
@pytest.mark.parametrize("path", [path for path in PATHS if "GET" in _allowed(path)])
def test_head_has_the_fields_of_get_without_body(whole: Client, path: str) -> None:
    get, head = whole.get(path), whole.request("HEAD", path)
    assert head.status == get.status
    assert head.body == b""
    varying = {"X-Request-Id", "Content-Length"}
    for name in get.headers.keys() - varying:
        assert head.headers[name] == get.headers[name]
    assert "Content-Length" in head.headers


def test_cached_match_keeps_its_arguments() -> None:
    """A view that changes its arguments does not change those of the next request."""
    things = Blueprint("things", __name__)

    @things.get("/things/<name>")
    def view(name: str) -> Any:
        arguments = request.view_args
        assert arguments == {"name": name}
        arguments["name"] = "spoiled"
        return json_response({"name": name})

    client = make_app(HttpConfig(public_url="https://tokens.example"), [things]).test_client()
    for name in "abaab":
        assert client.get(f"/things/{name}").json == {"name": name}


def _count(**labels: str) -> float:
    return prometheus_client.REGISTRY.get_sample_value("tokensvc_requests_total", labels) or 0.0


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        ("GET", "/v1/token", {"route": "/v1/token", "method": "GET", "status": "200"}),
        ("GET", "/a/path/of/mine", {"route": "unmatched", "method": "GET", "status": "404"}),
        ("BREW", "/v1/token", {"route": "unmatched", "method": "other", "status": "405"}),
    ],
)
def test_requests_are_counted_by_bounded_labels(
    client: Client, method: str, path: str, labels: dict[str, str]
) -> None:
    """A client cannot create time series."""
    before = _count(**labels)
    client.request(method, path, valid=False)
    assert _count(**labels) == before + 1


def test_refusals_are_counted_by_code(client: Client) -> None:
    """Also those of the wrapper."""

    def refusals() -> float:
        name, labels = "tokensvc_refusals_total", {"code": "not_found"}
        return prometheus_client.REGISTRY.get_sample_value(name, labels) or 0.0

    before = refusals()
    assert client.get("/nowhere", valid=False).status == HTTPStatus.NOT_FOUND
    assert refusals() == before + 1


@pytest.mark.sec(53)
def test_no_response_has_a_cookie_or_a_redirect(whole: Client) -> None:
    for path in (*PATHS, "/v1/token/", "//evil.example/"):
        response = whole.get(path, headers={"Cookie": "session=x"}, valid=False)
        assert not response.headers.keys() & {"Set-Cookie", "Location"}


@pytest.mark.sec(65)
@pytest.mark.parametrize("seconds_in_queue", [None, 1.0])
def test_request_has_a_deadline_while_it_runs(
    probe: Probe, client: Client, seconds_in_queue: float | None
) -> None:
    """From the time that the server has set, if it has, so that its queue counts."""
    seen = []

    def view() -> Any:
        seen.append(deadline.remaining(60))
        return json_response(TOKEN)

    probe.view = view
    if seconds_in_queue is not None:
        deadline.begin(time.monotonic() - seconds_in_queue)
    assert client.get("/v1/token").status == 200
    assert 0 < seen[0] < deadline.REQUEST_SECONDS - (seconds_in_queue or 0)
    assert deadline.remaining(60) == 60
