"""
The gunicorn worker: threads, as gunicorn's own, and every answer a problem document.

Owns what happens before the application is called and after it: requests that cannot be parsed,
and clients that are slow to send, to read or to close. Checked against gunicorn 27.
"""

import os
import socket
import time
from collections.abc import Mapping
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from selectors import EVENT_READ
from typing import Any

import structlog
from gunicorn import util
from gunicorn.http.errors import (
    ConfigurationProblem,
    ExpectationFailed,
    ForbiddenProxyRequest,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
    UnsupportedTransferCoding,
)
from gunicorn.http.parser import RequestParser
from gunicorn.workers.gthread import _DEFER, STOP_KEEPALIVE_LINGER, ThreadWorker

from tokensvc.core.errors import Code
from tokensvc.http.respond import Reply
from tokensvc.server.request_reader import (
    LINGER_SECONDS,
    READ_SECONDS,
    SEND_SECONDS,
    PatientReader,
    RequestTimeout,
)
from tokensvc.telemetry import metrics

MAX_LINGERING = 256
DRAIN_SECONDS = 0.05
"""For a body that was refused unread; not there by then, it costs the client its connection."""
_LOOK_SECONDS = 0.1
"""Between two looks for what is overdue: one looks at every waiting connection."""

_REFUSED: Mapping[type[Exception], tuple[HTTPStatus, str]] = {
    RequestTimeout: (HTTPStatus.REQUEST_TIMEOUT, "The request came too slowly: send it at once."),
    LimitRequestLine: (HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long."),
    LimitRequestHeaders: (
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "A header field is too long, or there are too many.",
    ),
    ExpectationFailed: (HTTPStatus.EXPECTATION_FAILED, "`Expect` may only be 100-continue."),
    UnsupportedTransferCoding: (
        HTTPStatus.NOT_IMPLEMENTED,
        "The only transfer coding here is chunked.",
    ),
    ForbiddenProxyRequest: (HTTPStatus.FORBIDDEN, "The PROXY protocol is not spoken here."),
}
_MALFORMED = (HTTPStatus.BAD_REQUEST, "This is not well-formed HTTP/1.1 (RFC 9112).")
_OURS = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)

_log = structlog.get_logger(__name__)


class ProblemWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is untyped
    """gunicorn's threads, with deadlines for clients and problem documents for what goes wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: dict[socket.socket, float] = {}
        self._next_look = 0.0

    def handle(self, conn: Any) -> Any:
        """Answer the request of a connection, or let the poller wait until it can be parsed."""
        if self.cfg.is_ssl:
            return super().handle(conn)
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, conn.sock, conn.client)
            conn.parser.unreader = PatientReader(conn.sock)
            conn.data_ready = True
            conn.close = partial(self._close, conn.sock)
        try:
            if not conn.parser.unreader.receive():
                return _DEFER
        except ParseException as error:
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        except OSError:
            return False
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Call the application; a client that reads nothing does not hold the thread for ever."""
        conn.sock.settimeout(SEND_SECONDS)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            return False

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: Exception) -> None:  # noqa: ARG002 - gunicorn's
        """Answer with a problem document to what did not reach the application, or broke it."""
        request_id = os.urandom(16).hex()
        if isinstance(exc, ParseException) and not isinstance(exc, _OURS):
            status, detail = _REFUSED.get(type(exc), _MALFORMED)
            code = Code.MALFORMED_REQUEST
            reply = self.wsgi.problems.reply(code, detail, request_id, status=status)
        else:
            code = Code.INTERNAL_ERROR
            reply = self.wsgi.problems.internal_error(request_id)
        self._record(reply.status, code, request_id, addr, exc)
        try:
            util.write_nonblock(client, _on_the_wire(reply, request_id))
        except OSError:
            _log.debug("the client is gone", request_id=request_id)

    def _record(self, status: int, code: Code, request_id: str, addr: Any, exc: Exception) -> None:
        metrics.count_request("unmatched", "other", str(status), 0.0)
        metrics.count_refusal(code)
        ours = code is Code.INTERNAL_ERROR
        # The class of a parse error and no more: its text quotes the request, credential included.
        (_log.error if ours else _log.info)(
            "request",
            request_id=request_id,
            status=status,
            code=code,
            reason=type(exc).__name__,
            client=addr[0] if isinstance(addr, tuple) else "",
            exc_info=exc if ours else None,
        )

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Tell whether the connection can carry another request."""
        conn.parser.unreader.deadline = time.monotonic() + DRAIN_SECONDS
        try:
            return bool(super()._keepalive_after(conn, keepalive))
        except (ParseException, OSError):
            # The request was answered; gunicorn would answer it again, as the next one's answer.
            return False

    def _close(self, sock: socket.socket, *, graceful: bool = False) -> None:
        """
        Close a connection; gunicorn would wait up to 2 s in the thread that accepts connections.

        RFC 9112 section 9.6: closed at once, an unread rest would cut off our answer.
        """
        try:
            sock.setblocking(False)
            if graceful and len(self._lingering) < MAX_LINGERING:
                sock.shutdown(socket.SHUT_WR)
                self.poller.register(sock, EVENT_READ, self._drain)
                self._lingering[sock] = time.monotonic() + LINGER_SECONDS
                return
        except OSError:
            _log.debug("the client is gone")
        util.close(sock)

    def _drain(self, sock: socket.socket) -> None:
        try:
            if sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            _log.debug("the client is gone")
        self._part(sock)

    def _part(self, sock: socket.socket) -> None:
        del self._lingering[sock]
        self.poller.unregister(sock)
        util.close(sock)

    def murder_pending(self) -> None:
        """End what has waited long enough; gunicorn would let it wait for `keepalive`."""
        super().murder_pending()
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        # A worker that stops waits for a request no longer than it does on a kept-alive connection.
        overdue = now if self.alive else now + READ_SECONDS - STOP_KEEPALIVE_LINGER
        for conn in list(self.pending_conns):
            if conn.parser and conn.parser.unreader.deadline < overdue:
                self._give_up(conn)
        for sock in [sock for sock, deadline in self._lingering.items() if deadline < now]:
            self._part(sock)

    def _give_up(self, conn: Any) -> None:
        self.pending_conns.remove(conn)
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        if conn.parser.unreader.has_begun():
            self.handle_error(None, conn.sock, conn.client, RequestTimeout())
        conn.close(graceful=True)


def _on_the_wire(reply: Reply, request_id: str) -> bytes:
    status = HTTPStatus(reply.status)
    fields = [
        ("Date", formatdate(usegmt=True)),
        ("Connection", "close"),
        ("X-Request-Id", request_id),
        ("X-Content-Type-Options", "nosniff"),
        *reply.headers,
    ]
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return f"HTTP/1.1 {status.value} {status.phrase}\r\n{head}\r\n".encode("latin-1") + reply.body
