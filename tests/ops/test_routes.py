"""Health, readiness, metrics, the contract and its page."""

import argparse
import base64
import hashlib
import html
import re
import shlex
from functools import partial

import pytest

from testing.contract_checks import FORM, check_request, operations_at
from testing.http_client import Client, environ_of
from testing.service import ROOT
from tests.http.conftest import METRICS_PORT, METRICS_TOKEN, Probe
from tokensvc.core.errors import Code
from tokensvc.core.findings import Finding, State
from tokensvc.ops.contract import contract, contract_bytes
from tokensvc.ops.health import CheckResult

OPERATOR = {"Authorization": f"Bearer {METRICS_TOKEN}"}
DATABASE = CheckResult("database", State.OK)
ISSUERS = CheckResult("issuers", State.DEGRADED, "acme: keys are 2 h old")
KEYS = CheckResult("stream_keys", State.FAILED, "no active key")


def on_metrics_port(probe: Probe) -> Client:
    return Client(probe.app(), SERVER_PORT=str(METRICS_PORT))


def test_healthz_is_ok_while_every_check_fails(client: Client, probe: Probe) -> None:
    probe.checks["stream_keys"] = lambda: Finding(State.FAILED)
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
def test_readyz_has_the_worst_state(
    probe: Probe, results: list[CheckResult], state: str, status: int
) -> None:
    """Degraded is 200, failed is 503; clients without the token see only the state."""
    for result in results:
        probe.checks[result.name] = partial(Finding, result.state, result.detail)
    client = Client(probe.app())
    response = client.get("/readyz")
    assert (response.status, response.json) == (status, {"status": state, "checks": None})
    seen = [{"name": r.name, "state": r.state, "detail": r.detail} for r in results]
    for operator in (
        client.get("/readyz", headers=OPERATOR),
        on_metrics_port(probe).get("/readyz"),
    ):
        assert (operator.status, operator.json) == (status, {"status": state, "checks": seen})


@pytest.mark.parametrize(("is_shared", "status"), [(True, 200), (False, 503)])
def test_instance_is_ready_while_only_a_shared_part_fails(
    probe: Probe, is_shared: bool, status: int
) -> None:
    """Operators see the failed part all the same."""
    probe.checks["database"] = lambda: Finding(State.FAILED, "no answer", is_shared)
    client = Client(probe.app())
    assert client.get("/readyz").status == 503
    response = client.get("/readyz/instance", headers=OPERATOR)
    assert response.status == status
    assert [check["state"] for check in response.json["checks"]] == ["failed"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer a-wrong-metrics-token"},
        {"Authorization": f"Basic {METRICS_TOKEN}"},
        {"Authorization": METRICS_TOKEN},
        {"Authorization": f"Bearer {METRICS_TOKEN}x"},
        {"Authorization": "Bearer é"},
    ],
)
def test_main_port_hides_metrics_without_the_token(client: Client, headers: dict[str, str]) -> None:
    assert client.get("/metrics", headers=headers).code == "not_found"
    assert client.get("/readyz", headers=headers).json["checks"] is None


def test_metrics_are_served_with_the_token_or_on_the_metrics_port(
    client: Client, probe: Probe
) -> None:
    for response in (
        client.get("/metrics", headers=OPERATOR),
        on_metrics_port(probe).get("/metrics"),
    ):
        assert response.status == 200
        assert "# TYPE tokensvc_requests_total counter" in response.text
        assert response.headers["Content-Type"].startswith("text/plain; version=")


@pytest.mark.parametrize("path", ["/v1/token", "/v1/me", "/docs", "/openapi.yaml", "/nowhere"])
def test_metrics_port_has_no_other_routes(probe: Probe, path: str) -> None:
    """It does not check Host, so it must not mint."""
    environ = {**environ_of("GET", path, {}, None), "SERVER_PORT": str(METRICS_PORT)}
    started: list[str] = []
    probe.app()(environ, lambda status, _fields: started.append(status))
    assert started == ["404 Not Found"]


def test_openapi_yaml_is_the_contract_byte_for_byte(client: Client) -> None:
    response = client.get("/openapi.yaml")
    assert response.body == contract_bytes()
    assert response.headers["Content-Type"] == "application/yaml"


def test_llms_txt_is_the_file_of_the_repository(client: Client) -> None:
    """Its routes exist: see `test_named_things.py`."""
    response = client.get("/llms.txt")
    assert response.body == (ROOT / "llms.txt").read_bytes()


def test_docs_page_has_each_operation_and_code(client: Client) -> None:
    """Each link on it has a target."""
    page = client.get("/docs").text
    anchors = set(re.findall(r'id="([^"]+)"', page))
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert links <= anchors
    assert anchors >= set(Code)
    assert anchors >= {"postToken", "getToken", "getMe", "getReadiness"}
    assert "{{" not in page
    assert "`" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)


def test_each_operation_on_the_docs_page_has_a_curl_line_that_the_contract_allows(
    client: Client,
) -> None:
    """As a shell reads it; the page has the operations in the order of their tags."""
    page = client.get("/docs").text
    shown = []
    for line in re.findall(r'<pre class="command">(.*?)</pre>', page, re.DOTALL):
        read = argparse.ArgumentParser()
        for option in ("-X", "-H", "-u", "-d"):
            read.add_argument(option, action="append", default=[])
        read.add_argument("url")
        asked = read.parse_args(shlex.split(html.unescape(line).removeprefix("curl -sS")))
        method = asked.X[0] if asked.X else "POST" if asked.d else "GET"
        headers = dict(field.split(": ", 1) for field in asked.H)
        headers.setdefault("Content-Type", FORM)
        path = asked.url.removeprefix("$URL")
        check_request(method, path, None, headers, "".join(asked.d).encode())
        operation = (operations_at(path) or {})[method.lower()]
        shown.append(operation["operationId"])
        credentials = next(iter(operation["security"]), {}).keys()
        assert ("$TOKEN" in line, "$CLIENT" in line) == (
            "userToken" in credentials,
            "serviceClient" in credentials,
        )
    by_tag = [
        operation["operationId"]
        for tag in contract()["tags"]
        for methods in contract()["paths"].values()
        for operation in methods.values()
        if tag["name"] in operation["tags"]
    ]
    assert shown == by_tag == re.findall(r'<div id="([a-z]\w+)">', page)


def test_root_in_production_says_what_the_service_is_and_where_its_contract_is(
    client: Client,
) -> None:
    response = client.get("/", valid=False)
    assert (response.status, response.code) == (404, "not_found")
    detail = response.json["detail"]
    assert "mints Stream Chat tokens" in detail
    for path in ("/openapi.yaml", "/docs"):
        assert f"https://tokens.example{path}" in detail
        assert client.get(path).status == 200
    assert client.get("/dev/", valid=False).code == "not_found"


@pytest.mark.sec(53)
def test_docs_page_loads_nothing(client: Client) -> None:
    """No script, no other host, and a policy that forbids both."""
    response = client.get("/docs")
    page = response.text
    assert not re.search(r"<script|<img|<iframe|@import|url\(|\son\w+=|\sstyle=", page)
    assert re.findall(r'<link rel="(\w+)" href="(data:image/svg)', page) == [
        ("icon", "data:image/svg")
    ]
    loaded = set(re.findall(r'(?:src|href|action)="(?!#|data:)([^"]*)"', page))
    assert loaded == {"/openapi.yaml"}
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert response.headers["Content-Security-Policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
