"""
One client connection, and the list of connections that wait for the same thing.

No method blocks. It sends or receives as much as the socket allows; a later call continues.
"""

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

from tokensvc.server.framing import Framing, Progress

_RECEIVE = 16 * 1024
_DISCARD = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class WaitList(dict["Connection", float]):
    """
    Connections that wait for the same thing, each with its deadline, the earliest first.

    Args:
        seconds: Time from entry to deadline.
    """

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def first(self) -> "Connection | None":
        """Return the connection that has waited for longest."""
        return next(iter(self), None)

    def take_due(self, now: float) -> Iterator["Connection"]:
        """Remove and yield the connections whose deadline has passed."""
        while (first := self.first()) is not None and self[first] <= now:
            del self[first]
            yield first

    def deadline(self) -> float:
        """Return the earliest deadline; infinity if nothing waits."""
        first = self.first()
        return float("inf") if first is None else self[first]


class Connection:
    """
    A non-blocking socket with what was received and what is unsent.

    Attributes:
        client: Address of the peer: host and port, or a path.
        server: Address of the listener that accepted it.
        received: Bytes that belong to no request so far.
        request: The request that runs or waits for a thread, and whether it is whole.
        unsent: Rest of the response.
        keep: Whether the connection carries another request after the response.
        has_ended: Whether the client sends nothing more.
        is_overdue: Whether the time for the body has passed.
        events: Mask that epoll watches; 0 if the socket is not registered.
        wait_list: List of connections that wait for the same thing.
    """

    __slots__ = (
        "client",
        "events",
        "fd",
        "framing",
        "has_ended",
        "is_overdue",
        "keep",
        "received",
        "request",
        "server",
        "sock",
        "unsent",
        "wait_list",
    )

    def __init__(self, sock: socket.socket, client: Any, server: Any, wait_list: WaitList) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.fd = sock.fileno()
        self.client = client
        self.server = server
        self.received = bytearray()
        self.framing = Framing()
        self.request = (b"", True)
        self.unsent = b""
        self.keep = True
        self.has_ended = False
        self.is_overdue = False
        self.events = 0
        self.wait_list = wait_list

    def receive(self) -> None:
        """
        Add what has arrived to `received`; set `has_ended` at the end of the stream.

        Raises:
            OSError: The connection is broken.
        """
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(_RECEIVE)
            self.received += data
            self.has_ended = not data

    def measure(self) -> Progress:
        """Return what the received bytes are."""
        return self.framing.measure(self.received)

    def take(self, *, whole: bool) -> None:
        """Move the measured bytes to `request`, or all bytes if the request is not whole."""
        length = self.framing.length if whole else len(self.received)
        self.request = (bytes(self.received[:length]), whole)
        del self.received[:length]
        self.framing = Framing()

    def send(self) -> bool:
        """
        Send what the socket takes, and return whether nothing is left.

        Raises:
            OSError: The connection is broken.
        """
        with contextlib.suppress(BlockingIOError):
            sent = self.sock.send(self.unsent)
            self.unsent = self.unsent[sent:]
        return not self.unsent

    def discard(self) -> bool:
        """Read what the client still sends, and return whether it has closed its side."""
        try:
            return not self.sock.recv(_DISCARD)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def end_sending(self) -> bool:
        """Close the sending side, and return whether the client's side is still open."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return not self.has_ended

    def close(self, *, abort: bool = False) -> None:
        """Close the socket; `abort` discards what the kernel has not delivered."""
        with contextlib.suppress(OSError):
            if abort:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.sock.close()
