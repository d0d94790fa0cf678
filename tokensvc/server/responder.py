"""
The bytes of a request become the bytes of a response: gunicorn's parser, WSGI, HTTP/1.1.

Works in data only. A request whose bytes the parser does not consume exactly as they were
measured is refused, and so is a response header that contains CR, LF or NUL.
"""

import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, TypeAlias

from gunicorn import SERVER
from gunicorn.http.errors import (
    ExpectationFailed,
    ForbiddenProxyRequest,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.wsgi import base_environ

from tokensvc.server.hooks import Application, Environ, Failure, Hooks
from tokensvc.server.parsing import (
    ParsedRequest,
    ParserSettings,
    RequestBytes,
    body_of,
    environ_of,
)

_SERVER_FIELDS = frozenset(
    {"connection", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Header fields that the server writes; those of the application are left out."""
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

Headers: TypeAlias = list[tuple[str, str]]
ResponseBytes: TypeAlias = tuple[bytes, bool]
"""Bytes for the client, and whether the connection carries another request."""


class NoThread(Exception):
    """Every thread waits for something, and the request has waited long enough for one."""


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not arrive in time."""


_FAILURES: Mapping[type[BaseException], tuple[HTTPStatus, str]] = {
    NoThread: (HTTPStatus.SERVICE_UNAVAILABLE, ""),
    RequestTimeout: (HTTPStatus.REQUEST_TIMEOUT, "The request arrived too slowly."),
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long."),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "A header field is too long, or there are too many.",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "`Expect` may only be 100-continue."),
    UnsupportedTransferCoding: (
        HTTPStatus.NOT_IMPLEMENTED,
        "The only supported transfer coding is chunked.",
    ),
    ForbiddenProxyRequest: (HTTPStatus.FORBIDDEN, "The PROXY protocol is not supported."),
    ParseException: (HTTPStatus.BAD_REQUEST, "This is not well-formed HTTP/1.1 (RFC 9112)."),
    Exception: (HTTPStatus.INTERNAL_SERVER_ERROR, ""),
}
"""Status and detail by class of error; other classes have those of their base class."""


class Responder:
    """
    Makes the response to a request: from the application, or a refusal.

    Attributes:
        hooks: Functions of the application.
    """

    def __init__(self, application: Application, settings: Any, hooks: Hooks) -> None:
        self.hooks = hooks
        self._application = application
        self._settings = ParserSettings(settings)
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
            message = ParsedRequest(self._settings, data, client)
            body = body_of(message, data, whole=whole)
            environ = environ_of(self._environ, message, body, client, server)
            keep = keep and whole and isinstance(body, BytesIO) and not message.should_close()
            return self._run(self._application, environ, keep=keep), keep
        except (NoMoreData, StopIteration):
            return b"", False
        except Exception as error:  # noqa: BLE001 - a fault in one request must not end the worker
            return self.refuse(error, request, client)

    def refuse_head(self, head: bytes, client: Any) -> ResponseBytes | None:
        """Refuse a head whose body has not been sent; None if it is well-formed."""
        try:
            ParsedRequest(self._settings, RequestBytes(head), client)
        except ParseException as error:
            return self.refuse(error, head, client)
        return None

    def refuse(self, error: Exception, request: bytes, client: Any) -> ResponseBytes:
        """
        Return the response to a request that fails before or in the application.

        Args:
            error: Reason of the failure. An error that is not the client's gets status 500.
            request: Received bytes.
            client: Address of the peer.
        """
        status, detail = next(_FAILURES[kind] for kind in type(error).__mro__ if kind in _FAILURES)
        address = client[0] if isinstance(client, tuple) else ""
        refusal = self.hooks.refuse(Failure(error, status, detail, address))
        method = "HEAD" if request.lstrip(b"\r\n").startswith(b"HEAD ") else "GET"
        return self._run(refusal, {"REQUEST_METHOD": method}, keep=False), False

    def _run(self, application: Application, environ: Environ, *, keep: bool) -> bytes:
        """Return the response of a WSGI application (PEP 3333)."""
        parts: list[bytes] = []
        status, headers = "", Headers()

        def start_response(
            new_status: str, new_headers: Headers, exc_info: Any = None
        ) -> Callable[[bytes], None]:
            nonlocal status, headers
            if status and not exc_info:
                raise RuntimeError("the response has already been started")
            status, headers = new_status, new_headers
            return parts.append

        chunks = application(environ, start_response)
        try:
            parts.extend(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return self._response_bytes(environ, status, headers, b"".join(parts), keep=keep)

    def _response_bytes(
        self, environ: Environ, status: str, headers: Headers, body: bytes, *, keep: bool
    ) -> bytes:
        code = int(status[:3])
        has_body = code not in _NO_BODY and environ["REQUEST_METHOD"] != "HEAD"
        lines = [
            f"HTTP/1.1 {status}",
            f"Server: {SERVER}",
            f"Date: {_http_date(int(time.time()))}",
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
            raise ValueError("a response header contains CR, LF or NUL")
        return f"{head}\r\n\r\n".encode("latin-1") + (body if has_body else b"")


@lru_cache(maxsize=1)
def _http_date(second: int) -> str:
    """Return epoch seconds as an HTTP date (RFC 9110 section 5.6.7)."""
    return formatdate(second, usegmt=True)
