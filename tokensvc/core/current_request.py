"""
The request that a thread serves now: for parsing, for its log line and for its response.

The application writes the log line and the `RateLimit` fields when the response is known; other
packages add what they learned. Outside a request, as in a command, that does nothing.
"""

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True, repr=False, eq=False)
class CurrentRequest:
    """
    A request with the data for its response and its log line.

    Attributes:
        environ: WSGI environment from the server.
        request_id: ID in the response and the log: 32 hex digits, or the ID from a trusted proxy.
        client_address: IP address of the client behind trusted proxies.
        on_metrics_port: Whether the request came in on the operators' port.
        body: Complete request body.
        log_fields: Additional fields of the request's log line.
        rate_limit: Values of the fields `RateLimit-Policy` and `RateLimit`.
        route: Matching rule of the URL map.
        error: Unexpected exception, for the log.
        is_authenticated: Whether the credential was verified.
    """

    environ: dict[str, Any]
    request_id: str
    client_address: str
    on_metrics_port: bool = False
    body: bytes = b""
    log_fields: dict[str, Any] = field(default_factory=dict)
    rate_limit: tuple[str, str] | None = None
    route: str | None = None
    error: Exception | None = None
    is_authenticated: bool = False


_current: ContextVar[CurrentRequest] = ContextVar("tokensvc_current_request")

get = _current.get
enter = _current.set
leave = _current.reset


def log_fields(**fields: Any) -> None:
    """Add verified facts to the log line, such as caller, user and key."""
    request = get(None)
    if request is not None:
        request.log_fields.update(fields)


def mark_authenticated(**fields: Any) -> None:
    """Mark the request as authenticated, and add who its caller is to the log line."""
    request = get(None)
    if request is not None:
        log_fields(**fields)
        request.is_authenticated = True


def set_rate_limit_fields(policy: str, limit: str) -> None:
    """Send `RateLimit-Policy` and `RateLimit` with the response, also if it is a refusal."""
    request = get(None)
    if request is not None:
        request.rate_limit = (policy, limit)
