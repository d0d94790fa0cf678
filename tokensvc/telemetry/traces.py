"""
Optional traces: one span for each request, for a collector of OpenTelemetry.

They are off unless a standard variable names the collector. Then nothing of OpenTelemetry is
imported. A span has neither the path nor any header, body or user of its request.
"""

import atexit
import logging as standard_logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import unquote

import structlog

from tokensvc import __version__
from tokensvc.core.clock import Clock
from tokensvc.telemetry.redaction import register_secrets

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_HEADERS: Final = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL: Final = "http/protobuf"
_NANOSECONDS: Final = 1_000_000_000
_STOP_SECONDS: Final = 2.0
"""Time to send the last spans when the process stops."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """
    The span of a request that has just ended.

    Attributes:
        method: HTTP method, or `_OTHER`.
        route: Rule of the URL map, or one word for all other paths.
        status: HTTP status code.
        request_id: ID of the request.
        code: Code of the problem; empty without one.
        seconds: Duration of the request.
        trace_fields: `traceparent` and `tracestate` of a trusted proxy, which become the parent.
    """

    method: str
    route: str
    status: int
    request_id: str
    code: str
    seconds: float
    trace_fields: Mapping[str, str]


RecordSpan: TypeAlias = Callable[[Span], None]


def span_recorder(provider: "TracerProvider", clock: Clock) -> RecordSpan:
    """
    Return the function that adds a span.

    Args:
        provider: Provider of OpenTelemetry, which sends the spans.
    """
    from opentelemetry import trace  # noqa: PLC0415 - only if traces are on
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above

    tracer = provider.get_tracer("tokensvc", __version__)
    parent_of = tracecontext.TraceContextTextMapPropagator().extract

    def record_span(span: Span) -> None:
        ended_at = int(clock() * _NANOSECONDS)
        started = tracer.start_span(
            f"{span.method} {span.route}",
            context=parent_of(span.trace_fields),
            kind=trace.SpanKind.SERVER,
            attributes={
                "http.request.method": span.method,
                "http.route": span.route,
                "http.response.status_code": span.status,
                "tokensvc.request_id": span.request_id,
                **({"tokensvc.code": span.code} if span.code else {}),
            },
            start_time=ended_at - int(span.seconds * _NANOSECONDS),
        )
        if span.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            started.set_status(trace.StatusCode.ERROR)
        started.end(end_time=ended_at)

    return record_span


def start(environ: Mapping[str, str], clock: Clock) -> RecordSpan | None:
    """
    Start to send spans to the collector that the variables name, in the background.

    Args:
        environ: Environment of this process. The library reads the same variables from it.

    Returns:
        `None` if traces are off, or not possible: a warning names the reason.
    """
    if not _are_wanted(environ):
        return None
    protocol = next(filter(None, map(environ.get, _PROTOCOLS)), _PROTOCOL)
    if protocol != _PROTOCOL:
        _warn(f"The protocol {protocol} is not supported.", f"Set {_PROTOCOLS[1]}={_PROTOCOL}.")
        return None
    register_secrets(_header_values(environ))
    try:
        return span_recorder(_provider(), clock)
    except ImportError as error:
        hint = f"Install tokensvc[otel], or remove {_ENDPOINTS[1]}."
        _warn(f"OpenTelemetry is not completely installed ({error}).", hint)
        return None


def _are_wanted(environ: Mapping[str, str]) -> bool:
    is_disabled = environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp")
    return exporter == "otlp" and not is_disabled and any(map(environ.get, _ENDPOINTS))


def _warn(detail: str, hint: str) -> None:
    _log.warning("traces_unavailable", detail=detail, hint=hint)


def _header_values(environ: Mapping[str, str]) -> list[str]:
    """Return the values of the headers for the collector, such as its API key."""
    pairs = ",".join(environ.get(name, "") for name in _HEADERS).split(",")
    return [unquote(pair.partition("=")[2].strip()) for pair in pairs if "=" in pair]


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - as above
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - as above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes["service.name"]).startswith("unknown_service"):
        resource = resource.merge(Resource({"service.name": "tokensvc"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_reporting(OTLPSpanExporter())))
    # Otherwise each failed batch has several lines; the exporter below logs each change once.
    standard_logging.getLogger("opentelemetry").setLevel(standard_logging.CRITICAL)
    _shut_down_at_exit(provider)
    return provider


def _shut_down_at_exit(provider: "TracerProvider") -> None:
    """Send the last spans at exit, without a wait for a collector that does not respond."""
    is_stopping = threading.Event()

    def shut_down() -> None:
        is_stopping.wait()
        provider.shutdown()  # which may wait for 30 s

    # It starts now, because Python starts no thread at exit.
    thread = threading.Thread(target=shut_down, name="traces_stop", daemon=True)
    thread.start()

    def stop() -> None:
        is_stopping.set()
        thread.join(_STOP_SECONDS)

    atexit.register(stop)


def _reporting(exporter: "SpanExporter") -> "SpanExporter":
    """Return an exporter that logs when another one begins to fail, and when it has recovered."""
    from opentelemetry.sdk.trace.export import (  # noqa: PLC0415 - as above
        SpanExporter,
        SpanExportResult,
    )

    class _Reporting(SpanExporter):
        is_failing = False

        def export(self, spans: "Sequence[ReadableSpan]") -> "SpanExportResult":
            result = exporter.export(spans)
            has_failed = result is not SpanExportResult.SUCCESS
            if has_failed and not self.is_failing:
                hint = "Is the collector reachable? Its spans are lost meanwhile."
                _log.warning("traces_export_failed", hint=hint)
            elif self.is_failing and not has_failed:
                _log.info("traces_export_recovered")
            self.is_failing = has_failed
            return result

        def shutdown(self) -> None:
            exporter.shutdown()

    return _Reporting()
