"""The request that a thread serves now, for parsing, logging and responding."""

from contextvars import ContextVar
from typing import Any


class CurrentRequest:
    """
    A request with the data for its response and its log line.

    Attributes:
        environ: WSGI environment from the server.
        request_id: ID in the response and the log: 32 hex digits, or the ID from a trusted proxy.
        client_address: IP address of the client behind trusted proxies.
        on_metrics_port: Whether the request came in on the operators' port.
        body: Complete request body.
        notes: Additional fields of the request's log line.
        rate_limit: Values of the fields `RateLimit-Policy` and `RateLimit`.
        route: Matching rule of the URL map.
        error: Unexpected exception, for the log.
        is_authenticated: Whether the credential was verified.
    """

    __slots__ = (
        "body",
        "client_address",
        "environ",
        "error",
        "is_authenticated",
        "notes",
        "on_metrics_port",
        "rate_limit",
        "request_id",
        "route",
    )

    def __init__(
        self,
        environ: dict[str, Any],
        request_id: str,
        client_address: str,
        *,
        on_metrics_port: bool,
    ) -> None:
        self.environ = environ
        self.request_id = request_id
        self.client_address = client_address
        self.on_metrics_port = on_metrics_port
        self.body = b""
        self.notes: dict[str, Any] = {}
        self.rate_limit: tuple[str, str] | None = None
        self.route: str | None = None
        self.error: Exception | None = None
        self.is_authenticated = False


_current: ContextVar[CurrentRequest] = ContextVar("tokensvc_current_request")

get = _current.get
enter = _current.set
leave = _current.reset
