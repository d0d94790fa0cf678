"""
The load: requests over connections that stay open, in a closed or in an open loop.

Raw sockets and one epoll loop, so that the load costs a small part of what it measures.
"""

import contextlib
import os
import re
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.processes import is_stopped

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_STALL = 30.0


class LoadError(Exception):
    """A system did not respond as it must."""


@dataclass(slots=True)
class Responses:
    """
    The responses to one load.

    Attributes:
        seconds: Time from the first request to the last response.
        latencies: Seconds of each response.
        numbers: Index of the request of each latency.
        bodies: The body of each response with status 200, by the index of its request.
        refused: Other responses.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    refused: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    request: int = 0
    sent_at: float = 0.0
    received: bytes = b""


class Connections:
    """
    Open connections to one system.

    Args:
        port: Port on 127.0.0.1.
        count: Number of connections.
        workers: Process IDs of the workers, which get the same number of connections each.
    """

    def __init__(self, port: int, count: int, workers: Sequence[int]) -> None:
        self._port = port
        self._connections: dict[int, _Connection] = {}
        self._count = count
        self._workers = workers

    def open(self, requests: Sequence[bytes]) -> Responses:
        """Open each connection with one request, and wait for its response."""
        responses = Responses()
        for index, worker in enumerate(self._workers):
            with _stopped(pid for pid in self._workers if pid != worker):
                for number in range(index, self._count, len(self._workers)):
                    opened = socket.create_connection(("127.0.0.1", self._port), _STALL)
                    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    connection = self._connections[opened.fileno()] = _Connection(opened)
                    _send(connection, number, requests[number])
                    while not _receive(connection, responses):
                        pass
        return responses

    def run(self, requests: Sequence[bytes], seconds: float = float("inf")) -> Responses:
        """
        Send each request once: a connection its next one when it has received a response.

        Args:
            requests: Requests to send.
            seconds: Time after which no request is sent.

        Raises:
            LoadError: The system closed a connection, or did not respond in time.
        """
        responses = Responses()
        waiting = deque(enumerate(requests))
        in_flight = 0
        start = time.perf_counter()
        with self._polled() as epoll:
            for connection in self._connections.values():
                if waiting:
                    _send(connection, *waiting.popleft())
                    in_flight += 1
            while in_flight:
                for connection in self._ready(epoll, _STALL):
                    if not _receive(connection, responses):
                        continue
                    in_flight -= 1
                    if waiting and time.perf_counter() - start < seconds:
                        _send(connection, *waiting.popleft())
                        in_flight += 1
        responses.seconds = time.perf_counter() - start
        return responses

    def arrive(self, requests: Sequence[bytes], times: Sequence[float]) -> Responses:
        """
        Send each request at its time, whether or not the earlier ones have a response.

        A request that finds no free connection waits for one. Its latency counts from its time:
        otherwise a server that stalls would hold back the requests that show it.

        Args:
            requests: Requests to send.
            times: Time of each request, in seconds from the start, ascending.

        Raises:
            LoadError: As `run`.
        """
        responses = Responses()
        waiting = deque(zip(times, enumerate(requests), strict=True))
        free = deque(self._connections.values())
        start = time.perf_counter()
        with self._polled() as epoll:
            while waiting or len(free) < self._count:
                while waiting and free and start + waiting[0][0] <= time.perf_counter():
                    due, numbered = waiting.popleft()
                    connection = free.popleft()
                    _send(connection, *numbered)
                    connection.sent_at = start + due
                pause = start + waiting[0][0] - time.perf_counter() if waiting and free else _STALL
                free += [one for one in self._ready(epoll, pause) if _receive(one, responses)]
        responses.seconds = time.perf_counter() - start
        return responses

    @contextlib.contextmanager
    def _polled(self) -> Iterator[select.epoll]:
        with select.epoll() as epoll:
            for descriptor in self._connections:
                epoll.register(descriptor, select.EPOLLIN)
            yield epoll

    def _ready(self, epoll: select.epoll, pause: float) -> list[_Connection]:
        """Return the connections with new bytes; wait for some, at most for `pause` seconds."""
        if pause < _STALL:
            # Microseconds; `epoll.poll` has milliseconds, and `select` no descriptor above 1023.
            select.select([epoll], [], [], max(0, pause))
            pause = 0
        ready = epoll.poll(pause)
        if not ready and pause:
            raise LoadError(f"no response within {_STALL:.0f} s")
        return [self._connections[descriptor] for descriptor, _ in ready]

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()


@contextlib.contextmanager
def _stopped(workers: Iterable[int]) -> Iterator[None]:
    """
    Stop workers, so that another one accepts.

    Which of several processes accepts is random: of 32 connections that open simultaneously, one of
    two workers often gets 30. The bench must not measure that.
    """
    stopped = list(workers)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        for pid in stopped:
            while not is_stopped(pid):  # until then it may accept a connection
                time.sleep(0.001)
        yield
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)


def _send(connection: _Connection, number: int, request: bytes) -> None:
    connection.request = number
    connection.received = b""
    connection.sent_at = time.perf_counter()
    connection.socket.sendall(request)


def _receive(connection: _Connection, responses: Responses) -> bool:
    """Read what has arrived, and return whether the response is complete."""
    chunk = connection.socket.recv(65536)
    received = connection.received = connection.received + chunk
    body = _body(received)
    if body is None:
        if not chunk:
            raise LoadError(f"closed the connection after {received[:1000]!r}")
        return False
    responses.numbers.append(connection.request)
    responses.latencies.append(time.perf_counter() - connection.sent_at)
    if received.startswith(b"HTTP/1.1 200 "):
        responses.bodies[connection.request] = body
    else:
        responses.refused.append(received)
    return True


def _body(received: bytes) -> bytes | None:
    """Return the body of a response, which may have come in chunks; `None` if it is incomplete."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    rest = received[head_end + 4 :]
    length = _LENGTH.search(received, 0, head_end)
    if length is not None:
        return rest if len(rest) >= int(length[1]) else None
    if not rest.endswith(_LAST_CHUNK):
        return None
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        end = int(size, 16)
        body, rest = body + rest[:end], rest[end + 2 :]
    return body
