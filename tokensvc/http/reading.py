"""
Receiving a request without a thread, until it is whole.

gunicorn reads with a thread of its pool and waits without limit, so that as many slow clients as
there are threads stop a worker. Here a request waits in the worker's poller until its head and its
body are there, and there is a deadline for the rest.
"""

import os
import select
import socket
import time

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader

from tokensvc.http.intake import MAX_BODY

READ_SECONDS = 10.0
"""From the first byte of a request to its last."""
SEND_SECONDS = 5.0
SEND_BUFFER = 256 * 1024
"""Bytes: an answer of ours fits, so that no thread waits for a client that does not read it."""

_PATIENCE = 0.002
"""Seconds that a thread waits before the poller does: a body often follows its head at once."""
_RECEIVE = 64 * 1024
_ENOUGH = 64 * 1024
"""Bytes without an end of the head that let the parser decide."""


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
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)

    def has_begun(self) -> bool:
        """Tell whether a request has begun and is not read yet."""
        return bool(self.buf.getvalue())

    def receive(self) -> bool:
        """
        Take what is there and tell whether the parser has work: a request, or the end.

        Raises:
            RequestTimeout: The deadline has passed.
            OSError: The connection is gone.
        """
        now = time.monotonic()
        received = self.buf.getvalue()
        if received:
            patience = 0.0
            if now > self.deadline:
                raise RequestTimeout
        else:
            patience = _PATIENCE
            self.deadline = now + READ_SECONDS
        while not _is_whole(received):
            remaining = now + patience - time.monotonic()
            self.sock.settimeout(max(0.0, remaining))
            try:
                data = self.sock.recv(_RECEIVE)
            except (TimeoutError, BlockingIOError):
                return False
            if not data:
                break
            received += data
            self.buf.seek(0, os.SEEK_END)
            self.buf.write(data)
        return True

    def reads_answers(self) -> bool:
        """Tell whether there is room for another answer: the client has read most of the former."""
        poll = select.poll()
        poll.register(self.sock, select.POLLOUT)
        return bool(poll.poll(0))

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
        self.sock.settimeout(SEND_SECONDS)
        return data


def _is_whole(received: bytes) -> bool:
    """Tell whether the parser can go on without waiting, if only to refuse."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        # A bare LF is refused whatever follows (RFC 9112 section 2.2).
        return len(received) > _ENOUGH or received.count(b"\n") != received.count(b"\r\n")
    head = received[: end + 2].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0 or b"\r\nexpect:" in head:
        return True
    at += len(b"\r\ncontent-length:")
    length = head[at : head.index(b"\r\n", at)].strip()
    if not length.isdigit() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        return True
    return len(received) >= end + len(b"\r\n\r\n") + int(length)
