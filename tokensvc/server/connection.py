"""
One client connection, and the list of connections that wait for the same thing.

No method blocks. It sends or receives as much as the socket allows; a later call continues.
"""

import contextlib
import math
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from tokensvc.server.framing import Framing

_RECEIVE = 16 * 1024
_RESET = struct.pack("ii", 1, 0)


class Sent(Enum):
    """What the socket took of a response."""

    ALL = auto()
    PART = auto()  # or nothing; it can take more later
    BROKEN = auto()  # nothing, and it takes nothing more


class WaitList(dict["Connection", float]):
    """
    Connections that wait for the same thing, each with its deadline, the earliest first.

    Args:
        seconds: Time from entry to deadline.
    """

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
        return next(iter(self.values()), math.inf)


@dataclass(slots=True, eq=False)
class Connection:
    """
    A non-blocking socket with what was received and what is unsent.

    Attributes:
        client: Address of the peer: host and port, or a path.
        server: Address of the listener that accepted it.
        wait_list: List of connections that wait for the same thing.
        received: Bytes that belong to no request so far.
        request: The request that runs or waits for a thread, and whether it is whole.
        received_at: Time at which it had been received, on the monotonic clock.
        unsent: Rest of the response.
        keep: Whether the connection carries another request after the response.
        has_ended: Whether the client sends nothing more.
        is_overdue: Whether the time for the body has passed.
        events: Mask that epoll watches; 0 if the socket is not registered.
    """

    sock: socket.socket
    client: Any
    server: Any
    wait_list: WaitList
    fd: int = field(init=False)
    received: bytearray = field(default_factory=bytearray)
    framing: Framing = field(default_factory=Framing)
    request: tuple[bytes, bool] = (b"", True)
    received_at: float = 0.0
    unsent: bytes = b""
    keep: bool = True
    has_ended: bool = False
    is_overdue: bool = False
    events: int = 0

    def __post_init__(self) -> None:
        self.sock.setblocking(False)
        self.fd = self.sock.fileno()

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

    def take(self, *, whole: bool) -> None:
        """Move the measured bytes to `request`, or all bytes if the request is not whole."""
        length = self.framing.length if whole else len(self.received)
        self.request = (bytes(self.received[:length]), whole)
        self.received_at = time.monotonic()
        del self.received[:length]
        self.framing = Framing()

    def send(self) -> Sent:
        """Send what the socket takes of `unsent`, and keep the rest."""
        try:
            self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            return Sent.PART
        except OSError:
            return Sent.BROKEN
        return Sent.PART if self.unsent else Sent.ALL

    def end_sending(self) -> bool:
        """Close the sending side, and return whether the client's side is still open."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False
        return not self.has_ended

    def close(self, *, abort: bool) -> None:
        """Close the socket; `abort` discards what the kernel has not delivered."""
        with contextlib.suppress(OSError):
            if abort:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.sock.close()
