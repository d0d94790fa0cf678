"""
Clients that mint and connect at a steady pace, whatever happens to the service meanwhile.

Each request goes over a kept-alive connection. One that was closed before any byte of the answer is
opened again and the request sent once more, as HTTP allows (RFC 9112 section 9.3.1): that is a
repeat. Everything else that is no token is a failure, and so is a token that Stream refuses.
"""

import json
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    What clients hold at a moment; replaced as a whole when something new is shipped.

    Attributes:
        api_key: What apps are built with.
        basic: The `Authorization` of the backend.
    """

    api_key: str
    basic: str


@dataclass
class Ledger:
    """What came of the load."""

    requests: int = 0
    repeats: int = 0
    connects: int = 0
    failures: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def minted(self, seconds: float, *, repeated: bool) -> None:
        with self._lock:
            self.requests += 1
            self.repeats += repeated
            self.latencies.append(seconds)

    def failed(self, why: str) -> None:
        with self._lock:
            self.requests += 1
            self.failures.append(why)

    def connected(self, *, accepted: bool, api_key: str) -> None:
        with self._lock:
            self.connects += 1
            if not accepted:
                self.refused.append(api_key)


class ClosedError(Exception):
    """The connection ended before any byte of the answer."""


class KeptConnection:
    """
    One connection to a service, opened again when it was closed.

    Args:
        base_url: `http://host:port`.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._socket: socket.socket | None = None

    def post(self, path: str, authorization: str, body: Any) -> tuple[int, bytes, bool]:
        """
        Send a request and give status, body, and whether it was sent twice.

        Raises:
            OSError: The connection broke in the middle of an answer, or could not be made.
            ClosedError: It was new, and ended without an answer.
        """
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        request = head.encode() + content
        kept = self._socket is not None
        try:
            return *self._exchange(request), False
        except ClosedError:
            if not kept:
                raise
        return *self._exchange(request), True

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _SECONDS)
        try:
            status, body, keep = self._talk(self._socket, request)
        except BaseException:
            self.close()
            raise
        if not keep:
            self.close()
        return status, body

    def _talk(self, connection: socket.socket, request: bytes) -> tuple[int, bytes, bool]:
        received = b""
        try:
            connection.sendall(request)
            received = connection.recv(65536)
        except ConnectionError as error:
            raise ClosedError from error
        if not received:
            raise ClosedError
        while (whole := _whole(received)) is None:
            more = connection.recv(65536)
            if not more:
                raise ConnectionResetError("the answer was cut off")
            received += more
        return whole


def _whole(received: bytes) -> tuple[int, bytes, bool] | None:
    """Give status, body and whether the connection is kept; nothing while bytes are missing."""
    head_end = received.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    length = _LENGTH.search(received, 0, head_end)
    body = received[head_end + 4 :]
    if length is None or len(body) < int(length[1]):
        return None
    return int(received[9:12]), body, _CLOSE.search(received, 0, head_end) is None


class SteadyClient(threading.Thread):
    """
    One client: mints, connects to Stream with the token, waits for its next turn.

    Args:
        base_url: Of the instance that it calls.
        request: Gives `Authorization` and body of a turn, from what is shipped.
        connect: Connects to Stream with an answer; tells whether Stream takes the token.
        pace: Seconds between two turns.
    """

    def __init__(
        self,
        base_url: str,
        request: Callable[[Credentials, int], tuple[str, dict[str, Any]]],
        connect: Callable[[dict[str, Any]], bool],
        *,
        credentials: Credentials,
        ledger: Ledger,
        pace: float,
    ) -> None:
        super().__init__(daemon=True)
        self.credentials = credentials
        self.finished: Credentials | None = None
        self._connection = KeptConnection(base_url)
        self._request = request
        self._connect = connect
        self._ledger = ledger
        self._pace = pace
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        turn, due = 0, time.monotonic()
        while not self._stopped.is_set():
            held = self.credentials
            try:
                self._take_turn(held, turn)
            except Exception as error:  # noqa: BLE001 - a thread that dies would load no more
                self._ledger.failed(f"broke: {error!r}")
            self.finished = held
            turn += 1
            due += self._pace
            self._stopped.wait(max(0.0, due - time.monotonic()))
        self._connection.close()

    def _take_turn(self, held: Credentials, turn: int) -> None:
        authorization, body = self._request(held, turn)
        start = time.perf_counter()
        try:
            status, content, repeated = self._connection.post("/v1/token", authorization, body)
        except (OSError, ClosedError) as error:
            self._ledger.failed(f"no answer: {error!r}")
            return
        if status != 200:
            self._ledger.failed(f"{status}: {content.decode(errors='replace')}")
            return
        self._ledger.minted(time.perf_counter() - start, repeated=repeated)
        answer = json.loads(content)
        self._ledger.connected(accepted=self._connect(answer), api_key=answer["api_key"])
