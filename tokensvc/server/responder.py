"""
The bytes of a request become the bytes of a response: gunicorn's parser, WSGI, HTTP/1.1.

Works in data only. A request whose bytes the parser does not consume exactly as they were
measured is refused, and so is a response header that contains CR, LF or NUL.
"""

from collections.abc import Callable, Iterable
from http import HTTPStatus
from io import BytesIO
from typing import Any, TypeAlias

from gunicorn import SERVER
from gunicorn.http.errors import InvalidResponseHeader, NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.wsgi import base_environ

from tokensvc.core.clock import Clock
from tokensvc.http.problems import Problems
from tokensvc.server.parsing import Environ, ParserSettings, RequestBytes, body_of, environ_of
from tokensvc.server.refusals import http_date, refuse

_SERVER_FIELDS = frozenset(
    {"connection", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Header fields that the server writes; those of the application are left out."""
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

Application: TypeAlias = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
ResponseBytes: TypeAlias = tuple[bytes, bool]
"""Bytes for the client, and whether the connection carries another request."""


class Responder:
    """
    Makes the response to a request: from the application, or a problem document.

    Args:
        application: The WSGI application.
        settings: gunicorn's settings.
        problems: Writes the body of a refusal.
        clock: Seconds since the epoch.
    """

    def __init__(
        self, application: Application, settings: Any, problems: Problems, clock: Clock
    ) -> None:
        self._application = application
        self._settings = ParserSettings(settings)
        self._problems = problems
        self._clock = clock
        self._environ = {**base_environ(settings), "wsgi.multithread": True, "SCRIPT_NAME": ""}

    def respond(
        self, request: bytes, client: Any, server: Any, *, whole: bool, keep: bool
    ) -> ResponseBytes:
        """
        Return the response to one request; no bytes if the client left before the head ended.

        Args:
            request: Received bytes.
            client: Address of the peer.
            server: Address of the listener.
            whole: Whether the bytes are one complete request; an incomplete one must be refused.
            keep: Whether the connection may carry another request.
        """
        data = RequestBytes(request)
        try:
            message = Request(self._settings, data, client)
            body = body_of(message, data, whole=whole)
            environ = environ_of(self._environ, message, body, client, server)
            keep = keep and whole and isinstance(body, BytesIO) and not message.should_close()
            return self._run_application(environ, message, keep=keep), keep
        except (NoMoreData, StopIteration):
            return b"", False
        except Exception as error:  # noqa: BLE001 - a fault in one request must not end the worker
            return self.refuse(error, request, client)

    def refuse_head(self, head: bytes, client: Any) -> ResponseBytes | None:
        """Refuse a head whose body has not been sent; None if it is well-formed."""
        try:
            Request(self._settings, RequestBytes(head), client)
        except ParseException as error:
            return self.refuse(error, head, client)
        return None

    def refuse(self, error: Exception, request: bytes, client: Any) -> ResponseBytes:
        """Return the problem document for an error; the connection is closed after it."""
        return refuse(error, request, client, self._problems, self._clock()), False

    def _run_application(self, environ: Environ, message: Any, *, keep: bool) -> bytes:
        parts: list[bytes] = []
        status, headers = "", []

        def start_response(
            new_status: str, new_headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], None]:
            nonlocal status, headers
            if status and not exc_info:
                raise RuntimeError("the response has already been started")
            status, headers = new_status, new_headers
            return parts.append

        chunks = self._application(environ, start_response)
        try:
            parts.extend(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return self._response_bytes(message, status, headers, b"".join(parts), keep=keep)

    def _response_bytes(
        self, message: Any, status: str, headers: list[tuple[str, str]], body: bytes, *, keep: bool
    ) -> bytes:
        code = int(status[:3])
        has_body = code not in _NO_BODY and message.method != "HEAD"
        lines = [
            "HTTP/{}.{} {}".format(*message.version, status),
            f"Server: {SERVER}",
            f"Date: {http_date(int(self._clock()))}",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        for name, value in headers:
            lower = name.lower()
            is_length = lower == "content-length" and (has_body or code == HTTPStatus.NO_CONTENT)
            if not is_length and lower not in _SERVER_FIELDS:
                lines.append(f"{name}: {value}")
        if has_body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines)
        ends = len(lines) - 1
        if head.count("\r") != ends or head.count("\n") != ends or "\0" in head:
            raise InvalidResponseHeader("CR, LF or NUL")
        return f"{head}\r\n\r\n".encode("latin-1") + (body if has_body else b"")
