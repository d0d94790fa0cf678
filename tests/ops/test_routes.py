"""Health, readiness, metrics and the contract's page."""

import base64
import hashlib
import re
import threading
from collections.abc import Iterable

import pytest

from testing.http_client import Client, environ_of
from tests.http.conftest import METRICS_PORT, METRICS_TOKEN, Probe
from tokensvc.core.errors import Code
from tokensvc.ops.contract import contract_bytes
from tokensvc.ops.health import Check, CheckResult, Readiness, ReadinessProbe, State

OPERATOR = {"Authorization": f"Bearer {METRICS_TOKEN}"}
DATABASE = CheckResult("database", State.OK)
ISSUERS = CheckResult("issuers", State.DEGRADED, "acme: keys are 2 h old")
KEYS = CheckResult("stream_keys", State.FAILED, "no active key")


def on_metrics_port(probe: Probe) -> Client:
    return Client(probe.app(), SERVER_PORT=str(METRICS_PORT))


def test_health_asks_nobody(client: Client, probe: Probe) -> None:
    """The process answers for itself while every check fails."""
    probe.checks.append(lambda: KEYS)
    assert client.get("/healthz").json == {"status": "ok"}


@pytest.mark.parametrize(
    ("results", "state", "status"),
    [
        ([], "ok", 200),
        ([DATABASE], "ok", 200),
        ([DATABASE, ISSUERS], "degraded", 200),
        ([KEYS, ISSUERS, DATABASE], "failed", 503),
    ],
)
def test_the_worst_state_decides(
    probe: Probe, results: list[CheckResult], state: str, status: int
) -> None:
    """Degraded still takes traffic, failed does not; strangers learn the state and no more."""
    probe.checks += [lambda result=result: result for result in results]
    client = Client(probe.app())
    answer = client.get("/readyz")
    assert (answer.status, answer.json) == (status, {"status": state, "checks": None})
    seen = [{"name": r.name, "state": r.state, "detail": r.detail} for r in results]
    for operator in (
        client.get("/readyz", headers=OPERATOR),
        on_metrics_port(probe).get("/readyz"),
    ):
        assert (operator.status, operator.json) == (status, {"status": state, "checks": seen})


def test_a_check_that_breaks_has_failed() -> None:
    """A check that raises is a failure by its name, without the exception's text."""

    def database() -> CheckResult:
        raise ConnectionError("postgresql://user:s3cret@host")

    verdict = ReadinessProbe([database], lambda: 0.0).read()
    assert verdict.status is State.FAILED
    assert verdict.checks is not None
    assert verdict.checks[0].name == "database"
    assert "ConnectionError" in verdict.checks[0].detail
    assert "s3cret" not in verdict.checks[0].detail


def test_a_verdict_is_kept_for_a_second() -> None:
    """Whoever asks how often, the checks run once a second."""
    now, runs = [100.0], []
    probe = ReadinessProbe([lambda: runs.append(1) or DATABASE], lambda: now[0])
    for moment, expected in ((100.0, 1), (100.9, 1), (101.0, 2), (101.5, 2), (102.1, 3)):
        now[0] = moment
        assert probe.read().status is State.OK
        assert len(runs) == expected


def test_slow_checks_hold_one_thread() -> None:
    """While one thread waits for a check, the others answer with the last verdict."""
    now, release, entered = [100.0], threading.Event(), threading.Event()

    def check() -> CheckResult:
        if now[0] > 100.0:
            entered.set()
            release.wait(60)
            return KEYS
        return DATABASE

    probe = ReadinessProbe([check], lambda: now[0])
    assert probe.read().status is State.OK
    now[0] = 110.0
    late: list[Readiness] = []
    waiting = threading.Thread(target=lambda: late.append(probe.read()))
    waiting.start()
    assert entered.wait(60)
    assert probe.read().status is State.OK
    release.set()
    waiting.join(20)
    assert [verdict.status for verdict in late] == [State.FAILED]
    assert probe.read().status is State.FAILED


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer another-token-of-nobody"},
        {"Authorization": f"Basic {METRICS_TOKEN}"},
        {"Authorization": METRICS_TOKEN},
        {"Authorization": f"Bearer {METRICS_TOKEN}x"},
        {"Authorization": "Bearer é"},
    ],
)
def test_metrics_are_hidden(client: Client, headers: dict[str, str]) -> None:
    """Without the token the main port has no metrics and tells no detail."""
    assert client.get("/metrics", headers=headers).code == "not_found"
    assert client.get("/readyz", headers=headers).json["checks"] is None


def test_metrics(client: Client, probe: Probe) -> None:
    """The token opens them on the main port; their own port needs none."""
    for answer in (
        client.get("/metrics", headers=OPERATOR),
        on_metrics_port(probe).get("/metrics"),
    ):
        assert answer.status == 200
        assert "# TYPE tokensvc_requests_total counter" in answer.text
        assert answer.headers["Content-Type"].startswith("text/plain; version=")


@pytest.mark.parametrize("path", ["/v1/token", "/v1/me", "/docs", "/openapi.yaml", "/nowhere"])
def test_the_metrics_port_is_for_operators(probe: Probe, path: str) -> None:
    """No token is minted where no Host is checked."""
    environ = {**environ_of("GET", path, {}, None), "SERVER_PORT": str(METRICS_PORT)}
    started: list[str] = []
    probe.app()(environ, lambda status, _fields: started.append(status))
    assert started == ["404 Not Found"]


def test_the_contract_is_served(client: Client) -> None:
    """What is served is the contract, byte by byte."""
    answer = client.get("/openapi.yaml")
    assert answer.body == contract_bytes()
    assert answer.headers["Content-Type"] == "application/yaml"


def test_the_page(client: Client) -> None:
    """The page explains every operation and every code, and each link on it leads somewhere."""
    page = client.get("/docs").text
    anchors = set(re.findall(r'id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= anchors
    assert anchors >= set(Code)
    assert anchors >= {"postToken", "getToken", "getMe", "getReadiness"}
    assert "{{" not in page
    assert "`" not in re.sub(r"<pre>.*?</pre>", "", page, flags=re.DOTALL)


@pytest.mark.sec(53)
def test_the_page_loads_nothing(client: Client) -> None:
    """No script, nothing from another host, and a policy that says so to the browser."""
    answer = client.get("/docs")
    page = answer.text
    assert not re.search(r"<script|<img|<iframe|<link|@import|url\(|\son\w+=|\sstyle=", page)
    assert set(re.findall(r'(?:src|href|action)="(?!#)([^"]*)"', page)) == {"/openapi.yaml"}
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answer.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def test_a_check_may_be_any_callable() -> None:
    """A check without a name of its own is named by its type."""

    class Broken:
        def __call__(self) -> CheckResult:
            raise TimeoutError

    checks: Iterable[Check] = [Broken()]
    verdict = ReadinessProbe(list(checks), lambda: 0.0).read()
    assert [result.name for result in verdict.checks or []] == ["Broken"]
