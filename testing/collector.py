"""A collector of OpenTelemetry that keeps what it receives (OTLP over HTTP, protobuf)."""

import contextlib
import gzip
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from testing.doubles.listener import Listener


class Collector:
    """
    A collector at `url`.

    Attributes:
        bodies: Received bodies, which contain everything that was sent.
        headers: Header fields of the last request.
        status: Status of the responses.
        refused: Number of requests that got another status than 200.
        responds: Event without which a request gets no response.
    """

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        self.refused = 0
        self.responds = threading.Event()
        self.responds.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                collector.headers = dict(self.headers)
                if collector.status == 200:
                    collector.bodies.append(body)
                else:
                    collector.refused += 1
                collector.responds.wait()
                with contextlib.suppress(ConnectionError):
                    self.send_response(collector.status)
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = Listener("127.0.0.1", Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.responds.set()
        self._server.stop()

    def spans(self) -> list[Span]:
        """Return all spans in the order in which they arrived."""
        return [
            span
            for body in list(self.bodies)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span_of(self, request_id: str) -> Span | None:
        """Return the span of a request."""
        by_id = {attributes_of(span)["tokensvc.request_id"]: span for span in self.spans()}
        return by_id.get(request_id)

    def resource(self) -> dict[str, Any]:
        """Return the attributes of the last sender."""
        request = ExportTraceServiceRequest.FromString(self.bodies[-1])
        return _values(request.resource_spans[0].resource.attributes)


def attributes_of(span: Span) -> dict[str, Any]:
    """Return the attributes of a span."""
    return _values(span.attributes)


def _values(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}
