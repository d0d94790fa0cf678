"""
Reading a request with a deadline.

gunicorn waits for the rest of a request without limit, so that a few slow clients would hold all
threads for as long as they like.
"""

import time

from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader

READ_SECONDS = 5.0
"""From a thread's first look at a request to its last byte."""
SEND_SECONDS = 5.0
"""For one write of an answer."""


class RequestTimeout(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The request did not come in time."""


class DeadlineReader(SocketUnreader):  # type: ignore[misc]  # gunicorn is untyped
    """Reads a connection's requests, each within `READ_SECONDS`."""

    _deadline = 0.0

    def begin(self) -> None:
        """Begin to wait for a request."""
        self._deadline = time.monotonic() + READ_SECONDS

    def chunk(self, size_hint: int | None = None) -> bytes:
        """
        Receive what comes next.

        Raises:
            RequestTimeout: The deadline has passed.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise RequestTimeout
        self.sock.settimeout(remaining)
        try:
            data: bytes = super().chunk(size_hint)
        except TimeoutError:
            raise RequestTimeout from None
        return data
