"""The request that this thread is answering, as far as parsing, logging and answering need it."""

from contextvars import ContextVar
from typing import Any


class Exchange:
    """
    One request and what is to be said about it.

    Attributes:
        environ: The WSGI environment, as the server made it.
        request_id: 32 hex digits, or what a trusted proxy sent; also in the answer and the log.
        client_address: The client's IP address behind any trusted proxy.
        on_metrics_port: The request came in on the port that is for operators.
        body: The whole request body, bounded.
        notes: Further fields of the request's log line.
        rate_limit: Values of the fields `RateLimit-Policy` and `RateLimit`.
        route: The rule of the URL map that matched.
        error: A fault of ours, for the log.
    """

    __slots__ = (
        "body",
        "client_address",
        "environ",
        "error",
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


_current: ContextVar[Exchange] = ContextVar("tokensvc_exchange")

current = _current.get
enter = _current.set
leave = _current.reset
