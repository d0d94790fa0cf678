"""
The load: prebuilt requests over kept-alive connections, each sent once.

Raw sockets and one epoll loop, so that the load costs a small part of what it measures. It runs in
a process of its own. An answer that is not a 200 ends the run: a refusal is cheaper than a mint.
"""

import re
import select
import socket
import time
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_STALL = 30.0


class LoadError(Exception):
    """A system did not answer as it must."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    What came back.

    Attributes:
        seconds: From the first request to the last answer.
        latencies: Seconds of each request, in the order of the answers.
        bodies: The answers' bodies, in the order of the requests.
    """

    seconds: float
    latencies: list[float]
    bodies: list[bytes]


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    request: int
    sent_at: float
    received: bytes = b""


def drive(port: int, requests: list[bytes], connections: int) -> Load:
    """
    Send every request once, each connection its next one as soon as it is answered.

    Raises:
        LoadError: An answer is not a 200, or none comes.
    """
    return _Driver(port, requests).run(min(connections, len(requests)))


class _Driver:
    def __init__(self, port: int, requests: list[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._next = 0
        self._latencies: list[float] = []
        self._bodies = [b""] * len(requests)
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}

    def run(self, connections: int) -> Load:
        start = time.perf_counter()
        for _ in range(connections):
            self._connect()
        while self._connections:
            ready = self._epoll.poll(_STALL)
            if not ready:
                raise LoadError(f"no answer within {_STALL:.0f} s")
            for descriptor, _ in ready:
                self._receive(self._connections[descriptor])
        seconds = time.perf_counter() - start
        self._epoll.close()
        return Load(seconds, self._latencies, self._bodies)

    def _connect(self) -> None:
        connected = socket.create_connection(("127.0.0.1", self._port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(connected, 0, 0.0)
        self._connections[connected.fileno()] = connection
        self._epoll.register(connected.fileno(), select.EPOLLIN)
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.request = self._next
        connection.received = b""
        self._next += 1
        connection.sent_at = time.perf_counter()
        connection.socket.sendall(self._requests[connection.request])

    def _receive(self, connection: _Connection) -> None:
        chunk = connection.socket.recv(65536)
        received = connection.received = connection.received + chunk
        head_end = received.find(b"\r\n\r\n")
        length = _LENGTH.search(received, 0, head_end) if head_end > 0 else None
        if length is not None and len(received) == head_end + 4 + int(length[1]):
            self._finish(connection, head_end)
        elif not chunk:
            raise LoadError(f"connection closed after {received[:500]!r}")

    def _finish(self, connection: _Connection, head_end: int) -> None:
        self._latencies.append(time.perf_counter() - connection.sent_at)
        received = connection.received
        if not received.startswith(b"HTTP/1.1 200 "):
            raise LoadError(f"answered {received[:1000]!r}")
        self._bodies[connection.request] = received[head_end + 4 :]
        keep = _CLOSE.search(received, 0, head_end) is None
        more = self._next < len(self._requests)
        if keep and more:
            self._send(connection)
            return
        descriptor = connection.socket.fileno()
        self._epoll.unregister(descriptor)
        del self._connections[descriptor]
        connection.socket.close()
        if more:
            self._connect()
