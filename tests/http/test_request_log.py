"""The ID of a request, and its lines in the log."""

import re
from typing import Any

import pytest
import structlog

from testing.http_client import Client
from tests.http.conftest import TOKEN, Log, Probe
from tokensvc.core import current_request
from tokensvc.core.current_request import log_fields
from tokensvc.core.errors import Code, Refusal
from tokensvc.http.respond import json_response
from tokensvc.telemetry import redaction


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
        log_fields(user_id="john", api_key="k1")
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
    (line,) = (line for line in log.lines if line["event"] == "request")
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
