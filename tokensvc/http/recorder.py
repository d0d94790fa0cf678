"""Record each finished request: metrics, span, log line."""

from tokensvc.core.current_request import CurrentRequest
from tokensvc.http.proxies import Proxies
from tokensvc.telemetry import logging, metrics
from tokensvc.telemetry.traces import Tracer

_UNMATCHED = "unmatched"
PROBES = frozenset({"/healthz", "/readyz"})
"""Paths that accept any `Host`: load balancers and kubelets use the address."""
METRICS_PORT_PATHS = PROBES | {"/metrics"}
"""Requests of monitors, several times a second: they have no spans."""
_TRACE_FIELDS = {"traceparent": "HTTP_TRACEPARENT", "tracestate": "HTTP_TRACESTATE"}


class Recorder:
    """
    Records requests whose response is known.

    Args:
        tracer: Maker of spans; `None` if traces are off.
        proxies: Trusted proxies, whose spans become the parents.
    """

    def __init__(self, tracer: Tracer | None, proxies: Proxies) -> None:
        self._tracer = tracer
        self._proxies = proxies

    def record(self, request: CurrentRequest, status: int, seconds: float) -> None:
        """Count the request, add its span and log its one line."""
        environ, notes = request.environ, request.log_fields
        route = request.route or _UNMATCHED
        method = environ["REQUEST_METHOD"]
        metrics.count_request(route, method, str(status), seconds)
        if "code" in notes:
            metrics.count_refusal(notes["code"])
        if self._tracer is not None and route not in METRICS_PORT_PATHS:
            self._trace(self._tracer, request, route, status, seconds)
        if request.route is None:
            notes["path"] = environ["PATH_INFO"]
        if request.error is not None:
            notes["exc_info"] = request.error
        logging.log_request(
            method=method,
            route=route,
            status=status,
            ms=round(seconds * 1000, 2),
            client=request.client_address,
            **notes,
        )

    def _trace(
        self, tracer: Tracer, request: CurrentRequest, route: str, status: int, seconds: float
    ) -> None:
        environ, fields = request.environ, {}
        if self._proxies.trust(environ["REMOTE_ADDR"]):
            fields = {name: environ[key] for name, key in _TRACE_FIELDS.items() if key in environ}
        method = environ["REQUEST_METHOD"]
        tracer.record(
            method=method if method in metrics.METHODS else "_OTHER",
            route=route,
            status=status,
            request_id=request.request_id,
            code=request.log_fields.get("code", ""),
            seconds=seconds,
            trace_fields=fields,
        )
