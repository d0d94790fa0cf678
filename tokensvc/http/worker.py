"""
The gunicorn worker: threads, as gunicorn's own, and every answer a problem document.

Owns what happens before the application is called and after it: requests that cannot be parsed,
slow clients, connections that a client does not close. Checked against gunicorn 27.
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
from gunicorn.http.body import LengthReader
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
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from tokensvc.core.errors import Code
from tokensvc.http.reading import READ_SECONDS, PatientReader, RequestTimeout
from tokensvc.http.respond import Reply
from tokensvc.telemetry import metrics

LINGER_SECONDS = 2.0
MAX_LINGERING = 256
DRAIN_SECONDS = 0.05
"""For a body that the application did not take; one that is not there by then costs the client its
connection."""

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
    """A worker with a pool of threads that no client can hold up."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lingering: dict[socket.socket, float] = {}

    def handle(self, conn: Any) -> Any:
        """Answer the request of a connection, or give it back to the poller until it is whole."""
        if self.cfg.is_ssl:
            return super().handle(conn)
        if conn.parser is None:
            conn.parser = RequestParser(self.cfg, conn.sock, conn.client)
            conn.parser.unreader = PatientReader(conn.sock)
            conn.data_ready = True
            conn.close = partial(self._close, conn.sock)
        reader = conn.parser.unreader
        try:
            if conn.parser.req_count and not reader.reads_answers():
                return False
            whole = reader.receive()
        except ParseException as error:
            self.handle_error(None, conn.sock, conn.client, error)
            return False
        except OSError:
            return False
        if whole:
            return super().handle(conn)
        # A stopping worker's poller would give an unfinished request back at once, in a loop.
        return _DEFER if self.alive else False

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Call the application; a client that reads nothing does not hold the thread for ever."""
        try:
            return super().handle_request(req, conn)
        except BlockingIOError:
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
        if not keepalive:
            return False
        reader = conn.parser.mesg.body.reader
        if isinstance(reader, LengthReader) and not reader.length:
            return True
        try:
            return bool(conn.parser.finish_body(deadline=time.monotonic() + DRAIN_SECONDS))
        except (ParseException, OSError):
            # The request was answered; gunicorn would answer it again, as the next one's answer.
            return False

    def _close(self, sock: socket.socket, *, graceful: bool = False) -> None:
        """
        Close a connection without waiting for the client.

        gunicorn waits up to 2 s for the client's end, in the thread that accepts connections.
        """
        try:
            sock.setblocking(False)
            if graceful and len(self._lingering) < MAX_LINGERING:
                # RFC 9112 section 9.6: closed at once, an unread rest would cut off our answer.
                sock.shutdown(socket.SHUT_WR)
                self.poller.register(sock, EVENT_READ, self._drain)
                self._lingering[sock] = time.monotonic() + LINGER_SECONDS
                return
        except OSError:
            pass
        util.close(sock)

    def _drain(self, sock: socket.socket) -> None:
        try:
            if sock.recv(65536):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._part(sock)

    def _part(self, sock: socket.socket) -> None:
        del self._lingering[sock]
        self.poller.unregister(sock)
        util.close(sock)

    def murder_pending(self) -> None:
        """Close what has waited long enough; gunicorn would let it wait for `keepalive`."""
        super().murder_pending()
        now = time.monotonic()
        # A worker that stops waits for a request to come no longer than for a client to close.
        overdue = now if self.alive else now + READ_SECONDS - LINGER_SECONDS
        for conn in list(self.pending_conns):
            if not conn.parser or conn.parser.unreader.deadline > overdue:
                continue
            self.pending_conns.remove(conn)
            self.poller.unregister(conn.sock)
            self.nr_conns -= 1
            if conn.parser.unreader.has_begun():
                self.handle_error(None, conn.sock, conn.client, RequestTimeout())
            conn.close(graceful=True)
        for sock in [sock for sock, deadline in self._lingering.items() if deadline < now]:
            self._part(sock)


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
