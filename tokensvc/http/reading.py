"""
Receiving a request without a thread, until it is whole.

gunicorn reads with a thread of its pool and waits without limit, so that as many slow clients as
there are threads stop a worker. Here a request waits in the worker's poller until its head and its
body are there, and there is a deadline for the rest.
"""

import os
import select
import socket
import struct
import time

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader

from tokensvc.http.framing import expects_continue, is_whole

READ_SECONDS = 10.0
"""From the first byte of a request to its last."""
SEND_SECONDS = 5
SEND_BUFFER = 256 * 1024
"""Bytes: an answer of ours fits, so that no thread waits for a client that does not read it."""

_PATIENCE = 0.002
"""Seconds that a thread waits before the poller does: a body often follows its head at once."""
_RECEIVE = 64 * 1024


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not come in time."""

    def __str__(self) -> str:
        """Say it for the log."""
        return f"not received within {READ_SECONDS:.0f} s"


class PatientReader(SocketUnreader):  # type: ignore[misc]  # gunicorn is untyped
    """
    What a connection has sent and nobody has read yet, and a deadline for what is to come.

    Attributes:
        deadline: When the request must be here, on the monotonic clock.
    """

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.deadline = 0.0
        self._may_send_body = False
        self._writable = select.poll()
        self._writable.register(sock, select.POLLOUT)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        # On the socket once, instead of a time limit set anew for each answer.
        limit = struct.pack("ll", SEND_SECONDS, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def has_begun(self) -> bool:
        """Tell whether a request has begun and is not read yet."""
        return bool(self.buf.getvalue())

    def reads_answers(self) -> bool:
        """Tell whether there is room for another answer: the client has read most of the former."""
        return bool(self._writable.poll(0))

    def receive(self) -> bool:
        """
        Take what is there and tell whether the parser has work: a request, or the end.

        Raises:
            ParseException: There is more than a request may have.
            OSError: The connection is gone.
        """
        received: bytes = self.buf.getvalue()
        now = time.monotonic()
        patience = 0.0
        if not received:
            self.deadline, self._may_send_body = now + READ_SECONDS, False
            patience = _PATIENCE
        if self.sock.gettimeout() != 0.0:
            self.sock.setblocking(False)
        while not is_whole(received):
            data = self._take(now + patience)
            if data is None:
                self._let_send_body(received)
                return False
            if not data:
                break
            received += data
            self.buf.seek(0, os.SEEK_END)
            self.buf.write(data)
        return True

    def _take(self, until: float) -> bytes | None:
        """Receive what comes until then; `None` when nothing does."""
        sock: socket.socket = self.sock
        try:
            return sock.recv(_RECEIVE)
        except BlockingIOError:
            pass
        remaining = until - time.monotonic()
        if remaining <= 0:
            return None
        sock.settimeout(remaining)
        try:
            return sock.recv(_RECEIVE)
        except TimeoutError:
            return None
        finally:
            sock.setblocking(False)

    def _let_send_body(self, received: bytes) -> None:
        """Give a client the leave that it waits for; gunicorn would, with a thread waiting."""
        if not self._may_send_body and expects_continue(received):
            self._may_send_body = True
            self.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def chunk(self, size_hint: int | None = None) -> bytes:
        """Read from the socket until the deadline."""
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise RequestTimeout
        self.sock.settimeout(remaining)
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise RequestTimeout from None
        self.sock.setblocking(True)
        return data
