"""Record each finished request: metrics, span, log line."""

from collections.abc import Mapping
from typing import Any

from tokensvc.core.current_request import CurrentRequest
from tokensvc.http.proxies import Proxies
from tokensvc.telemetry import logging, metrics
from tokensvc.telemetry.traces import RecordSpan, Span

_UNMATCHED = "unmatched"
PROBES = frozenset({"/healthz", "/readyz", "/readyz/instance"})
"""Paths that accept any `Host`: load balancers and kubelets use the address."""
METRICS_PORT_PATHS = PROBES | {"/metrics"}
"""Requests of monitors, several times a second: they have no spans."""
_TRACE_FIELDS = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}


def record(
    record_span: RecordSpan | None,
    proxies: Proxies,
    request: CurrentRequest,
    status: int,
    seconds: float,
) -> None:
    """
    Count a request whose response is known, add its span and log its one line.

    Args:
        record_span: Function that adds a span; `None` if traces are off.
        proxies: Trusted proxies, whose spans become the parents.
    """
    environ, fields = request.environ, request.log_fields
    route = request.route or _UNMATCHED
    method = environ["REQUEST_METHOD"]
    metrics.count_request(route, method, str(status), seconds)
    if "code" in fields:
        metrics.count_refusal(fields["code"])
    if record_span is not None and route not in METRICS_PORT_PATHS:
        span = Span(
            method=method if method in metrics.METHODS else "_OTHER",
            route=route,
            status=status,
            request_id=request.request_id,
            code=fields.get("code", ""),
            seconds=seconds,
            trace_fields=_trace_fields(proxies, environ),
        )
        record_span(span)
    if request.route is None:
        fields["path"] = environ["PATH_INFO"]
    if request.error is not None:
        fields["exc_info"] = request.error
    logging.log_request(
        method=method,
        route=route,
        status=status,
        ms=round(seconds * 1000, 2),
        client=request.client_address,
        **fields,
    )


def _trace_fields(proxies: Proxies, environ: Mapping[str, Any]) -> dict[str, str]:
    if not proxies.trust(environ["REMOTE_ADDR"]):
        return {}
    return {name: environ[key] for name, key in _TRACE_FIELDS.items() if key in environ}
