"""Traces of a running service, and that nothing of them exists when they are off."""

import subprocess
import sys
import time

import pytest
import sqlalchemy as sa
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from testing.collector import Collector, attributes_of
from testing.command_line import run_command
from testing.service import ROOT, STREAM_API_SECRET, settings_environ
from testing.waiting import wait_until
from testing.world import running_world
from tokensvc import __version__
from tokensvc.clients.tables import client_secrets
from tokensvc.telemetry import traces

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SECRET_HEADER = "collector-api-key-0123456789"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
PROGRAM = """
import sys
from tokensvc.app import mount, startup
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings
logging.configure(LogSettings(format="json"))
for missing in sys.argv[1:]:
    sys.modules[missing] = None
services = startup.prepare_process()
app = mount.build_app(services)
response = app.test_client().get("/openapi.yaml", base_url="https://tokens.example")
services.close()
print(response.status_code, sum(name.startswith("opentelemetry.") for name in sys.modules))
"""


def otel(collector, **more):
    return {
        ENDPOINT: collector.url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"x-api-key={SECRET_HEADER}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        **more,
    }


@pytest.fixture(scope="module")
def collector():
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def world(tmp_path_factory, collector):
    settings = otel(collector, TOKENSVC_PROXIES__TRUSTED='["127.0.0.1/32"]')
    with running_world(tmp_path_factory.mktemp("traced"), **settings) as running:
        yield running


def span_of(collector, response):
    """Wait for the span of a response."""
    request_id = response.headers["X-Request-Id"]
    wait_until(lambda: collector.span_of(request_id), "the span has arrived")
    return collector.span_of(request_id)


def test_each_request_has_one_span_with_route_status_and_request_id(world, collector):
    minted = world.vouching.post("/v1/token", json={"user_id": "john"})
    span = span_of(collector, minted)
    assert span.name == "POST /v1/token"
    assert attributes_of(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/token",
        "http.response.status_code": 200,
        "tokensvc.request_id": minted.headers["X-Request-Id"],
    }
    assert span.start_time_unix_nano < span.end_time_unix_nano
    ids = [attributes_of(each)["tokensvc.request_id"] for each in collector.spans()]
    assert len(set(ids)) == len(ids)
    assert collector.headers["x-api-key"] == SECRET_HEADER
    resource = collector.resource()
    assert (resource["service.name"], resource["service.version"]) == ("tokensvc", __version__)


def test_span_of_a_refused_request_has_the_code(world, collector):
    refused = world.anonymous.get("/v1/users/john", valid=False)
    attributes = attributes_of(span_of(collector, refused))
    assert attributes["http.route"] == "/v1/users/<user_id>"
    assert attributes["tokensvc.code"] == "credentials_missing"


@pytest.mark.sec(25, 58)
def test_spans_contain_no_user_token_secret_path_or_query(world, collector):
    user = world.signed_in("user-of-no-span")
    minted = user.post("/v1/token")
    responses = [
        minted,
        user.get("/v1/token", query={"user_id": "other-user-of-no-span"}),
        world.operator.get("/v1/users/user-of-no-span"),
        world.revoke("user-of-no-span", json={"reason": "reason-of-no-span"}),
        world.anonymous.get("/path-of-no-span", valid=False),
    ]
    for response in responses:
        span_of(collector, response)
    everything = b"".join(collector.bodies)
    credential = user._headers["Authorization"].removeprefix("Bearer ")
    operator = world.operator._headers["authorization"].removeprefix("Basic ")
    for secret in (credential, operator, minted.json["token"], STREAM_API_SECRET, "of-no-span"):
        assert secret.encode() not in everything
    assert b"eyJ" not in everything


def test_span_of_a_trusted_proxy_is_the_parent(world, collector):
    span = span_of(collector, world.vouching.get("/docs", headers=PARENT))
    assert span.trace_id.hex() == TRACE_ID
    assert span.parent_span_id.hex() == "b7ad6b7169203331"


def test_other_clients_and_probes_do_not_decide_about_traces(tmp_path):
    """A client could choose to be traced, or not, and join the trace of another request."""
    with Collector() as collector, running_world(tmp_path, **otel(collector)) as world:
        probe = world.anonymous.get("/readyz")
        span = span_of(collector, world.vouching.get("/docs", headers=PARENT))
        assert span.trace_id.hex() != TRACE_ID
        assert span.parent_span_id == b""
        assert collector.span_of(probe.headers["X-Request-Id"]) is None


def test_collector_that_fails_is_logged_once_and_fails_no_request(tmp_path):
    with Collector() as collector, running_world(tmp_path, **otel(collector)) as world:
        collector.status = 400
        for number in range(1, 4):
            assert world.anonymous.get("/docs").status == 200
            wait_until(lambda n=number: collector.refused >= n, "the export is refused")
        collector.status = 200
        span_of(collector, world.anonymous.get("/docs"))
        wait_until(lambda: world.log("traces_export_recovered"), "the recovery is logged")
        (line,) = world.log("traces_export_failed")
        assert line["level"] == "warning"
        assert SECRET_HEADER not in world.service.log_path.read_text()


def test_last_spans_are_sent_at_the_stop(tmp_path):
    with Collector() as collector:
        with running_world(tmp_path, **otel(collector, OTEL_BSP_SCHEDULE_DELAY="600000")) as world:
            last = world.anonymous.get("/docs")
        assert collector.span_of(last.headers["X-Request-Id"])


def test_collector_that_does_not_respond_delays_no_stop(tmp_path):
    """A worker that does not end in time is killed before it stores the use of secrets."""
    with Collector() as collector:
        settings = otel(collector, OTEL_EXPORTER_OTLP_TIMEOUT="600", TOKENSVC_STOP_TIMEOUT="15")
        with running_world(tmp_path, **settings) as world:
            collector.responds.clear()
            minted = world.vouching.post("/v1/token", json={"user_id": "john"})
            span_of(collector, minted)
            world.service.stop()
            with world.database.read() as connection:
                used = connection.execute(sa.select(client_secrets.c.last_used_at)).scalars()
                assert any(used)


def serve_once(folder, *arguments, **environ):
    """Serve one request in a new process; return what it printed and logged."""
    environ = settings_environ(folder, **environ)
    assert run_command(folder, environ, "migrate").code == 0
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )


def test_nothing_is_imported_when_traces_are_off(tmp_path):
    assert serve_once(tmp_path).stdout == "200 0\n"


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter"])
def test_missing_package_is_a_warning(tmp_path, missing):
    """Each of them: the SDK is also a dependency of other packages, without the exporter."""
    done = serve_once(tmp_path, missing, **{ENDPOINT: "http://127.0.0.1:9"})
    assert done.stdout.startswith("200 ")
    assert '"traces_unavailable"' in done.stderr
    assert "Install tokensvc[otel]" in done.stderr


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_SERVICE_NAME": "tokens"},
        {ENDPOINT: ""},
        {ENDPOINT: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: "http://127.0.0.1:9", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_traces_are_off_without_a_collector_or_if_disabled(environ):
    with structlog.testing.capture_logs() as lines:
        assert traces.start(environ, time.time) is None
    assert lines == []


def test_protocol_that_is_not_supported_is_a_warning():
    environ = {ENDPOINT: "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with structlog.testing.capture_logs() as lines:
        assert traces.start(environ, time.time) is None
    assert "grpc" in lines[0]["detail"]
    assert (lines[0]["event"], lines[0]["log_level"]) == ("traces_unavailable", "warning")


def test_server_error_is_an_error_of_the_span():
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    record_span = traces.span_recorder(provider, lambda: 1000.0)
    common = {"method": "GET", "route": "/docs", "request_id": "r", "code": "", "seconds": 0.25}
    for status in (499, 500):
        record_span(traces.Span(status=status, trace_fields={}, **common))
    fine, failed = exporter.get_finished_spans()
    assert fine.status.is_ok or fine.status.is_unset
    assert not failed.status.is_ok
    assert (failed.start_time, failed.end_time) == (999_750_000_000, 1_000_000_000_000)
