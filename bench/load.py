"""
The load: prepared requests over kept-alive connections, each sent once.

It uses raw sockets and one epoll loop in its own process, so that it costs little compared with the
measured system. A response other than 200 ends the run, because a refusal is cheaper than a mint.
"""

import contextlib
import os
import re
import select
import signal
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_TIMEOUT = 30.0


class LoadError(Exception):
    """A system did not respond as required."""


@dataclass(frozen=True, slots=True)
class Load:
    """
    The results.

    Attributes:
        seconds: Time from the opening of all connections to the last response.
        latencies: Seconds of each request in that time.
        bodies: Bodies of the responses, in the order of the requests.
    """

    seconds: float
    latencies: list[float]
    bodies: list[bytes]


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    request: int = 0
    sent_at: float = 0.0
    received: bytes = b""


def drive(port: int, requests: Sequence[bytes], connections: int, workers: Sequence[int]) -> Load:
    """
    Send every request once. Each connection sends its next request after a response.

    The first request of a connection opens it and is not measured.

    Args:
        port: Port on the loopback interface.
        requests: Requests, at least one for each connection.
        connections: Number of kept-alive connections, distributed over the workers.
        workers: Process IDs of the workers.

    Raises:
        LoadError: A response is not a 200, or is missing.
    """
    driver = _Driver(port, requests)
    for index, worker in enumerate(workers):
        with _stopped(pid for pid in workers if pid != worker):
            for _ in range(index, connections, len(workers)):
                driver.open()
    return driver.run()


@contextlib.contextmanager
def _stopped(workers: Iterable[int]) -> Iterator[None]:
    """
    Stop workers, so that another one accepts.

    The distribution over processes that share a listener is random: of 32 simultaneous connections,
    one of two workers often gets 30. The measurement must not depend on it.
    """
    stopped = list(workers)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


class _Driver:
    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._next = 0
        self._latencies: list[float] = []
        self._bodies: dict[int, bytes] = {}
        self._connections: dict[int, _Connection] = {}

    def open(self) -> None:
        """Open a connection with the next request, and wait for the response."""
        opened = socket.create_connection(("127.0.0.1", self._port), _TIMEOUT)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._connections[opened.fileno()] = _Connection(opened)
        self._send(connection)
        while not self._receive(connection):
            pass

    def run(self) -> Load:
        """Send the other requests over the open connections."""
        self._latencies.clear()
        start = time.perf_counter()
        with select.epoll() as epoll:
            for descriptor, connection in self._connections.items():
                epoll.register(descriptor, select.EPOLLIN)
                self._send_if_any(connection)
            while len(self._bodies) < len(self._requests):
                ready = epoll.poll(_TIMEOUT)
                if not ready:
                    raise LoadError(f"no response within {_TIMEOUT:.0f} s")
                for descriptor, _ in ready:
                    connection = self._connections[descriptor]
                    if self._receive(connection):
                        self._send_if_any(connection)
        seconds = time.perf_counter() - start
        for connection in self._connections.values():
            connection.socket.close()
        bodies = [self._bodies[index] for index in range(len(self._requests))]
        return Load(seconds, self._latencies, bodies)

    def _send_if_any(self, connection: _Connection) -> None:
        if self._next < len(self._requests):
            self._send(connection)

    def _send(self, connection: _Connection) -> None:
        connection.request = self._next
        connection.received = b""
        self._next += 1
        connection.sent_at = time.perf_counter()
        connection.socket.sendall(self._requests[connection.request])

    def _receive(self, connection: _Connection) -> bool:
        """Read available bytes. Return whether the response is complete."""
        chunk = connection.socket.recv(65536)
        received = connection.received = connection.received + chunk
        head_end = received.find(b"\r\n\r\n")
        length = _LENGTH.search(received, 0, head_end) if head_end > 0 else None
        if length is None or len(received) < head_end + 4 + int(length[1]):
            if not chunk:
                raise LoadError(f"closed the connection after {received[:1000]!r}")
            return False
        self._latencies.append(time.perf_counter() - connection.sent_at)
        if not received.startswith(b"HTTP/1.1 200 "):
            raise LoadError(f"responded {received[:1000]!r}")
        self._bodies[connection.request] = received[head_end + 4 :]
        return True
