"""Requests that the worker refuses: the same problems, log lines and counters as any others."""

from http import HTTPStatus

import pytest
from prometheus_client import REGISTRY

from testing.logs import caught_log
from tokensvc.app.server_hooks import server_hooks
from tokensvc.http import body
from tokensvc.server import framing
from tokensvc.server.hooks import Failure


@pytest.mark.sec(65)
@pytest.mark.parametrize(
    ("status", "code", "level"),
    [
        (HTTPStatus.BAD_REQUEST, "malformed_request", "info"),
        (HTTPStatus.REQUEST_TIMEOUT, "malformed_request", "info"),
        (HTTPStatus.SERVICE_UNAVAILABLE, "temporarily_unavailable", "info"),
        (HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "error"),
    ],
)
def test_failure_gets_a_problem_a_log_line_and_counters(status, code, level):
    """A busy service is no error of a request; no text of an error leaves the process."""

    def counted():
        labels = {"route": "unmatched", "method": "other", "status": str(status.value)}
        return (
            REGISTRY.get_sample_value("tokensvc_requests_total", labels) or 0,
            REGISTRY.get_sample_value("tokensvc_refusals_total", {"code": code}) or 0,
        )

    before = counted()
    error = ValueError("GET /?token=a-secret")
    with caught_log() as log:
        hooks = server_hooks("https://a.example")
        response = hooks.refuse(Failure(error, status, "A detail.", "192.0.2.1"))
        (line,) = (line for line in log.lines() if line["event"] == "request")
    headers = dict(response.headers)
    assert counted() == tuple(count + 1 for count in before)
    assert f'"code":"{code}"'.encode() in response.body
    assert b"a-secret" not in response.body
    assert headers["X-Request-Id"] == line["request_id"]
    assert headers["Vary"] == "Origin"
    assert headers.get("Retry-After") == ("1" if status == 503 else None)
    assert (response.status, line["status"], line["level"]) == (status, status, level)
    assert (line["reason"], line["client"]) == ("ValueError", "192.0.2.1")
    assert ("exception" in line) == (status == 500)


def test_worker_and_application_take_bodies_of_the_same_size():
    assert framing.MAX_BODY == body.MAX_BODY
