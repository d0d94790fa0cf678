"""
Receiving a request without a thread, until there is something to parse.

gunicorn reads with a thread of its pool and waits without limit, so that as many slow clients as
there are threads stop a worker. Here a request waits in the worker's poller until its head is
there, and its body if that has a length. What a request is, gunicorn's parser alone decides: taken
wrongly for whole, a request costs a thread for `THREAD_SECONDS` and no more.
"""

import time

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine, ParseException
from gunicorn.http.unreader import SocketUnreader

from tokensvc.http.body_reader import MAX_BODY

READ_SECONDS = 10.0
"""From the first byte of a request, in the poller."""
THREAD_SECONDS = 5.0
"""For a thread that reads what the poller does not wait for: a body in chunks."""
SEND_SECONDS = 5.0
"""For one write of an answer."""
LINGER_SECONDS = 2.0
"""For a client to close its end, in the poller."""
MAX_HEAD = 64 * 1024

_PATIENCE = 0.002
"""Seconds that a thread waits for the first byte before the poller does."""
_RECEIVE = 16 * 1024
_END_OF_HEAD = b"\r\n\r\n"


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not come in time."""


class PatientReader(SocketUnreader):  # type: ignore[misc]  # gunicorn is untyped
    """
    Receives a connection's requests, each with a deadline.

    Attributes:
        deadline: For what is waited for now, on the monotonic clock.
    """

    deadline = 0.0

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._received = bytearray()
        self._size: int | None = None  # of the request, once its head is there

    def has_begun(self) -> bool:
        """Tell whether a part of a request is there."""
        return bool(self._received)

    def receive(self) -> bool:
        """
        Take what is there, and tell whether the parser need not wait: a request, or the end.

        Raises:
            ParseException: The head has no end within `MAX_HEAD`, or the deadline has passed.
            OSError: The connection is gone.
        """
        now = time.monotonic()
        if not self._received:
            self.deadline = now + READ_SECONDS
            self._take(self.take_buffered())
        elif now > self.deadline:
            raise RequestTimeout
        while self._size is None or len(self._received) < self._size:
            self.sock.settimeout(0.0 if self._received else _PATIENCE)
            try:
                data = self.sock.recv(_RECEIVE)
            except (BlockingIOError, TimeoutError):
                return False
            if not data:
                break
            self._take(data)
        self.buf.write(self._received)
        self._received, self._size = bytearray(), None
        self.deadline = time.monotonic() + THREAD_SECONDS
        return True

    def _take(self, data: bytes) -> None:
        # Not from the start each time: a head that drips would cost its length squared.
        searched = max(0, len(self._received) - len(_END_OF_HEAD) + 1)
        self._received += data
        if self._size is not None:
            return
        end = self._received.find(_END_OF_HEAD, searched, MAX_HEAD)
        if end >= 0:
            body = _length_of_body(bytes(self._received[: end + 2]).lower())
            self._size = end + len(_END_OF_HEAD) + body
        elif len(self._received) >= MAX_HEAD:
            if b"\r\n" in self._received:
                raise LimitRequestHeaders("no end of the head")
            raise LimitRequestLine(len(self._received), MAX_HEAD)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """
        Receive what comes next, for the parser.

        Raises:
            RequestTimeout: The deadline has passed.
        """
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise RequestTimeout
        self.sock.settimeout(remaining)
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise RequestTimeout from None
        return data


def _length_of_body(head: bytes) -> int:
    """Give how much of a body is worth waiting for: none if it is refused, or asks for leave."""
    length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0].strip()
    if b"\r\nexpect:" in head or not length.isdigit() or len(length) > len(str(MAX_BODY)):
        return 0
    return int(length) if int(length) <= MAX_BODY else 0
