"""
The bytes of a request become the bytes of a response: gunicorn's parser, WSGI, HTTP/1.1.

Works in memory only. A request whose bytes the parser does not consume exactly as they were
measured is refused, and so is a response header that contains CR, LF or NUL.
"""

import os
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from io import BytesIO
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

import structlog
from gunicorn import SERVER
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    NoMoreData,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader
from gunicorn.http.wsgi import base_environ

from tokensvc.core.clock import Clock
from tokensvc.core.errors import Code
from tokensvc.http.body_reader import MAX_BODY
from tokensvc.http.problems import Problems
from tokensvc.http.respond import Reply
from tokensvc.telemetry import metrics

RETRY_AFTER = 1
"""Seconds, for a client whose request got no thread."""

_OURS = frozenset(
    {"connection", "date", "keep-alive", "server", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Fields that only this module writes."""
_NO_BODY = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})

_log = structlog.get_logger(__name__)

Environ = MutableMapping[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]
Response = tuple[bytes, bool]
"""Bytes for the client, and whether the connection carries another request."""


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not arrive in time."""


class NoThread(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """Every thread waits for something, and the request has waited long enough for one."""


class Disagreement(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The parser did not consume the bytes that were measured."""


_REFUSED: Mapping[type[Exception], tuple[HTTPStatus, str]] = {
    RequestTimeout: (HTTPStatus.REQUEST_TIMEOUT, "The request arrived too slowly."),
    NoThread: (HTTPStatus.SERVICE_UNAVAILABLE, "The service is busy. Retry after `Retry-After`."),
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
}
_MALFORMED = (HTTPStatus.BAD_REQUEST, "This is not well-formed HTTP/1.1 (RFC 9112).")
_INTERNAL = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)


class _Settings:
    """gunicorn's settings as the parser reads them; each is looked up once."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        setattr(self, name, value)
        return value


class _Memory(Unreader):  # type: ignore[misc]  # gunicorn is untyped
    """Exactly the bytes of one request."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.buf.write(data)

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - gunicorn's
        return b""


class _BrokenBody:
    """The input of a request whose body cannot be read: reading raises the parser's error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, *_: object) -> NoReturn:
        raise self._error


class Call:
    """
    Calls the application for requests, and refuses what does not reach it.

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
        self._settings = _Settings(settings)
        self._problems = problems
        self._clock = clock
        self._environ = {**base_environ(settings), "wsgi.multithread": True, "SCRIPT_NAME": ""}

    def respond(
        self, request: bytes, client: Any, server: Any, *, whole: bool, keep: bool
    ) -> Response:
        """
        Return the response to one request; no bytes if its head ended early.

        Args:
            request: What was received.
            client: Address of the peer.
            server: Address of the listener.
            whole: Whether the bytes were measured as one request; else it must be refused.
            keep: Whether the connection may carry another request.
        """
        memory = _Memory(request)
        try:
            message = Request(self._settings, memory, client)
            body = _body_of(message, memory, whole=whole)
            environ = self._environ_of(message, body, client, server)
            keep = keep and whole and isinstance(body, BytesIO) and not message.should_close()
            return self._call(environ, message, keep=keep), keep
        except (NoMoreData, StopIteration):
            return b"", False
        except Exception as error:  # noqa: BLE001 - a fault in one request must not end the worker
            return self.refuse(error, client)

    def refuse_head(self, head: bytes, client: Any) -> Response | None:
        """Refuse a head whose body has not been sent; None if it is well-formed."""
        try:
            Request(self._settings, _Memory(head), client)
        except ParseException as error:
            return self.refuse(error, client)
        return None

    def refuse(self, error: Exception, client: Any) -> Response:
        """Return the problem document for what did not reach the application, or broke it."""
        request_id = os.urandom(16).hex()
        if isinstance(error, NoThread):
            code, headers = Code.TEMPORARILY_UNAVAILABLE, (("Retry-After", str(RETRY_AFTER)),)
            reply = self._problems.reply(code, _REFUSED[NoThread][1], request_id, headers=headers)
        elif isinstance(error, ParseException) and not isinstance(error, _INTERNAL):
            status, detail = _REFUSED.get(type(error), _MALFORMED)
            code = Code.MALFORMED_REQUEST
            reply = self._problems.reply(code, detail, request_id, status=status)
        else:
            code = Code.INTERNAL_ERROR
            reply = self._problems.internal_error(request_id)
        _record(reply.status, code, request_id, client, error)
        return _problem_bytes(reply, request_id, _date(int(self._clock()))), False

    def _environ_of(self, message: Any, body: Any, client: Any, server: Any) -> Environ:
        environ = self._environ.copy()
        for name, value in message.headers:
            key = "HTTP_" + name.replace("-", "_")
            if key in {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}:
                key = key[5:]
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        is_internet = isinstance(client, tuple)
        environ |= {
            "wsgi.input": body,
            "wsgi.url_scheme": message.scheme,
            "REQUEST_METHOD": message.method,
            "RAW_URI": message.uri,
            "PATH_INFO": unquote_to_bytes(message.path).decode("latin-1"),
            "QUERY_STRING": message.query,
            "SERVER_PROTOCOL": "HTTP/{}.{}".format(*message.version),
            "REMOTE_ADDR": client[0] if is_internet else "",
            "REMOTE_PORT": str(client[1]) if is_internet else "",
            "SERVER_NAME": server[0] if is_internet else "",
            "SERVER_PORT": str(server[1]) if is_internet else "",
        }
        return environ

    def _call(self, environ: Environ, message: Any, *, keep: bool) -> bytes:
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
            f"Date: {_date(int(self._clock()))}",
            f"Connection: {'keep-alive' if keep else 'close'}",
        ]
        for name, value in headers:
            lower = name.lower()
            is_length = lower == "content-length" and (has_body or code == HTTPStatus.NO_CONTENT)
            if not is_length and lower not in _OURS:
                lines.append(f"{name}: {value}")
        if has_body:
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join(lines)
        ends = len(lines) - 1
        if head.count("\r") != ends or head.count("\n") != ends or "\0" in head:
            raise InvalidResponseHeader("CR, LF or NUL")
        return f"{head}\r\n\r\n".encode("latin-1") + (body if has_body else b"")


def _body_of(message: Any, memory: _Memory, *, whole: bool) -> Any:
    """
    Return the input of a request, and see that the parser agrees on where the request ends.

    Raises:
        Disagreement: It does not.
    """
    reader = message.body.reader
    length = None if isinstance(reader, ChunkedReader) else reader.length
    if length is not None and not whole:
        if not length:
            raise Disagreement
        return message.body  # too long or cut off: the application refuses it
    try:
        body = reader.read(MAX_BODY + 1)
    except (ParseException, OSError) as error:
        return _BrokenBody(error)
    if whole:
        is_exact = not memory.take_buffered() and length in (None, len(body))
    else:
        is_exact = len(body) > MAX_BODY
    if not is_exact:
        raise Disagreement
    return BytesIO(body)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _record(status: int, code: Code, request_id: str, client: Any, error: Exception) -> None:
    metrics.count_request("unmatched", "other", str(status), 0.0)
    metrics.count_refusal(code)
    is_internal = code is Code.INTERNAL_ERROR
    # Only the class of a parse error: its text quotes the request with its credential.
    (_log.error if is_internal else _log.info)(
        "request",
        request_id=request_id,
        status=status,
        code=code,
        reason=type(error).__name__,
        client=client[0] if isinstance(client, tuple) else "",
        exc_info=error if is_internal else None,
    )


def _problem_bytes(reply: Reply, request_id: str, date: str) -> bytes:
    status = HTTPStatus(reply.status)
    fields = [
        ("Date", date),
        ("Connection", "close"),
        ("X-Request-Id", request_id),
        ("X-Content-Type-Options", "nosniff"),
        *reply.headers,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("latin-1") + reply.body
