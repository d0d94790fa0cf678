"""
Clients that mint and connect at a constant rate.

Each request uses a kept-alive connection. If the connection closes before the first byte of the
response, the client opens a new one and repeats the request, as HTTP allows (RFC 9112 section
9.3.1). Any other result than a token is a failure, and so is a token that Stream refuses.
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
    The credentials of clients. A rollout replaces them as a whole.

    Attributes:
        api_key: API key of the apps.
        basic: `Authorization` header of the backend.
    """

    api_key: str
    basic: str


@dataclass
class Ledger:
    """The results of the load."""

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

    def forget_latencies(self) -> None:
        """Begin to measure; failures are kept."""
        with self._lock:
            self.requests = len(self.failures)
            self.latencies.clear()

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
    """The connection closed before the first byte of the response."""


class KeptConnection:
    """
    A connection to a service that is opened again after it was closed.

    Args:
        base_url: `http://host:port`.
    """

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._socket: socket.socket | None = None

    def post(self, path: str, authorization: str, body: Any) -> tuple[int, bytes, bool]:
        """
        Send a request. Return status, body and whether it was repeated.

        Raises:
            OSError: The connection failed, or closed in the middle of a response.
            ClosedError: A new connection closed without a response.
        """
        content = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
        )
        request = head.encode() + content
        is_reused = self._socket is not None
        try:
            return *self._exchange(request), False
        except ClosedError:
            if not is_reused:
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
                raise ConnectionResetError("the response was cut off")
            received += more
        return whole


def _whole(received: bytes) -> tuple[int, bytes, bool] | None:
    """Return status, body and whether the connection stays open; `None` if bytes are missing."""
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
    A client that mints, connects to Stream with the token, and waits.

    Args:
        base_url: URL of its instance.
        request: Function that returns `Authorization` and body from the credentials and a number.
        connect: Function that connects to Stream and returns whether Stream accepts the token.
        credentials: First credentials.
        ledger: Record of the results.
        interval: Seconds between two requests.

    Attributes:
        credentials: Credentials of the next request.
        finished: Credentials of the last finished request.
    """

    def __init__(
        self,
        base_url: str,
        request: Callable[[Credentials, int], tuple[str, dict[str, Any]]],
        connect: Callable[[dict[str, Any]], bool],
        *,
        credentials: Credentials,
        ledger: Ledger,
        interval: float,
    ) -> None:
        super().__init__(daemon=True)
        self.credentials = credentials
        self.finished: Credentials | None = None
        self._connection = KeptConnection(base_url)
        self._request = request
        self._connect = connect
        self._ledger = ledger
        self._interval = interval
        self._stopped = threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stopped.is_set():
            credentials = self.credentials
            try:
                self._mint_and_connect(credentials, number)
            except Exception as error:  # noqa: BLE001 - a thread that ends would stop the load
                self._ledger.failed(f"broke: {error!r}")
            self.finished = credentials
            number += 1
            due += self._interval
            self._stopped.wait(max(0.0, due - time.monotonic()))
        self._connection.close()

    def _mint_and_connect(self, credentials: Credentials, number: int) -> None:
        authorization, body = self._request(credentials, number)
        start = time.perf_counter()
        try:
            status, content, repeated = self._connection.post("/v1/token", authorization, body)
        except (OSError, ClosedError) as error:
            self._ledger.failed(f"no response: {error!r}")
            return
        if status != 200:
            self._ledger.failed(f"{status}: {content.decode(errors='replace')}")
            return
        self._ledger.minted(time.perf_counter() - start, repeated=repeated)
        minted = json.loads(content)
        self._ledger.connected(accepted=self._connect(minted), api_key=minted["api_key"])
