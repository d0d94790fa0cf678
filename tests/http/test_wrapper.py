"""The wrapper around every request."""

import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import prometheus_client
import pytest
import structlog
from flask import Blueprint, request

from testing.contract_checks import operations_at
from testing.http_client import Client
from testing.service import EVERYTHING, settings_environ
from tests.http.conftest import TOKEN, Log, Probe
from tokensvc.app import container, mount, startup
from tokensvc.config.loader import load
from tokensvc.core import deadline
from tokensvc.core.errors import Code, Refusal
from tokensvc.http import current_request
from tokensvc.http.app import HttpConfig, make_app
from tokensvc.http.request_log import note
from tokensvc.http.respond import json_response
from tokensvc.ops.contract import contract
from tokensvc.telemetry import redaction

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
    startup.prepare(settings)
    services = container.build(settings)
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


def test_each_request_has_a_random_id_of_128_bits(client: Client) -> None:
    ids = {client.get("/healthz").headers["X-Request-Id"] for _ in range(50)}
    assert len(ids) == 50
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)


@pytest.mark.sec(55, 58)
@pytest.mark.parametrize(
    ("peer", "sent", "kept"),
    [
        ("10.0.0.1", "gateway-7f3a.1", True),
        ("10.0.0.1", "short", False),
        ("10.0.0.1", "x" * 65, False),
        ("10.0.0.1", "with space and more", False),
        ("10.0.0.1", "line\nbreak-123", False),
        ("10.0.0.1", "", False),
        ("203.0.113.7", "gateway-7f3a.1", False),
    ],
)
def test_request_id_is_accepted_from_trusted_proxies_only(
    probe: Probe, peer: str, sent: str, *, kept: bool
) -> None:
    """Only if it is a plain word."""
    client = Client(probe.app(trusted_proxies=["10.0.0.0/8"]), REMOTE_ADDR=peer)
    response = client.get("/v1/token", headers={"X-Request-Id": sent})
    assert (response.headers["X-Request-Id"] == sent) is kept


@pytest.mark.parametrize(
    ("trusted", "told"), [([], ["203.0.113.7"]), (["203.0.113.0/24"], [])], ids=["not", "trusted"]
)
def test_ignored_forwarded_for_is_logged_once(
    log: Log, probe: Probe, trusted: list[str], told: list[str]
) -> None:
    """The line names `proxies.trusted`; clients cannot fill the log with it."""
    client = Client(probe.app(trusted_proxies=trusted), REMOTE_ADDR="203.0.113.7")
    client.get("/v1/token")
    assert len(log.lines) == 1
    for _ in range(3):
        client.get("/v1/token", headers={"X-Forwarded-For": "198.51.100.66"})
    warnings = [line for line in log.lines if line["event"] == "forwarded_for_ignored"]
    assert [line["peer"] for line in warnings] == told
    assert all("proxies.trusted" in line["hint"] for line in warnings)


def test_mint_is_logged_in_one_line(log: Log, probe: Probe) -> None:

    def view() -> Any:
        note(user_id="john", api_key="k1")
        return json_response(TOKEN)

    probe.view = view
    client = Client(probe.app(trusted_proxies=["10.0.0.0/8"]), REMOTE_ADDR="10.0.0.1")
    response = client.post("/v1/token", headers={"X-Forwarded-For": "203.0.113.7"})
    (line,) = log.lines
    assert line.pop("ms") >= 0
    assert line.pop("time")
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": response.headers["X-Request-Id"],
        "method": "POST",
        "route": "/v1/token",
        "status": 200,
        "client": "203.0.113.7",
        "user_id": "john",
        "api_key": "k1",
    }


@pytest.mark.sec(58)
def test_refusal_is_logged_with_code_and_reason(log: Log, probe: Probe) -> None:
    """The query is not logged."""

    def view() -> None:
        raise Refusal(Code.TEMPORARILY_UNAVAILABLE, "Wait.", reason="PoolTimeout")

    probe.view = view
    Client(probe.app()).get("/v1/token", query={"user_id": "query-value"})
    (line,) = log.lines
    assert (line["status"], line["code"], line["reason"]) == (
        503,
        "temporarily_unavailable",
        "PoolTimeout",
    )
    assert "query-value" not in log.text


@pytest.mark.sec(58)
def test_unknown_path_is_logged_shortened_in_one_line(
    log: Log, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "planted-s3cret-" * 10
    monkeypatch.setattr(redaction, "_secrets", ())
    redaction.register_secrets([secret])
    Client(probe.app()).get("/%0a%1b[31mforged" + "x" * 150 + secret + "x" * 2000, valid=False)
    (line,) = log.lines
    assert line["route"] == "unmatched"
    assert line["path"].startswith("/\n\x1b[31mforged" + "x" * 150 + "[redacted]xxx")
    assert len(line["path"]) < 1100
    assert log.text.count("\n") == 1
    assert "\x1b" not in log.text


@pytest.mark.sec(53, 58)
def test_unexpected_exception_is_logged_with_traceback_and_without_credential(
    log: Log, probe: Probe
) -> None:

    def view() -> None:
        raise RuntimeError("Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqb2huIn0.c2ln")

    probe.view = view
    Client(probe.app()).get("/v1/token")
    (line,) = log.lines
    assert (line["level"], line["status"], line["code"]) == ("error", 500, "internal_error")
    assert "RuntimeError" in line["exception"]
    assert "eyJ" not in log.text


def test_lines_of_other_loggers_have_the_request_id(log: Log, probe: Probe) -> None:

    def view() -> Any:
        structlog.get_logger().warning("meanwhile")
        return json_response(TOKEN)

    probe.view = view
    response = Client(probe.app()).get("/v1/token")
    structlog.get_logger().warning("afterwards")
    with pytest.raises(LookupError):
        current_request.get()
    during, request, after = log.lines
    assert during["request_id"] == request["request_id"] == response.headers["X-Request-Id"]
    assert "request_id" not in after


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
