"""
Record each finished request: metrics, span, log line.

Refused values of a header are logged too, each once, so that an operator can allow it.
"""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from tokensvc.core.current_request import CurrentRequest
from tokensvc.http.proxies import Proxies
from tokensvc.telemetry import logging, metrics
from tokensvc.telemetry.traces import RecordSpan, Span

_UNMATCHED = "unmatched"
PROBES = frozenset({"/healthz", "/readyz", "/readyz/instance"})
"""Paths that accept any `Host`: load balancers and kubelets use the address."""
METRICS_PORT_PATHS = PROBES | {"/metrics"}
"""Requests of monitors, several times a second: they have no spans."""
MAX_VALUES = 100
"""Values of one header that a process logs: clients choose them."""
_TRACE_FIELDS = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}

_log = structlog.get_logger(__name__)


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


def refused_value_log(event: str, field: str, hint: str) -> Callable[[str], None]:
    """
    Return a function that logs a well-formed value, unless it did before or has logged too many.

    Args:
        event: Event of the log line.
        field: Field of the log line that contains the value.
        hint: What the operator can do.
    """
    logged: set[str] = set()
    mutex = threading.Lock()

    def log(value: str) -> None:
        with mutex:
            if value in logged or len(logged) >= MAX_VALUES:
                return
            logged.add(value)
        _log.warning(event, **{field: value}, hint=hint)

    return log
