"""
One bounded GET of a provider's document.

Owns everything that a hostile or broken server could try: the address that is connected to is the
one that was checked (a second look at the DNS could give another), redirects are refused, and
time, size and encoding are bounded. Leaves to `jwks` when to fetch and what a failure means.
"""

import ipaddress
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.client import HTTPException
from types import TracebackType
from typing import Any, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from tokensvc.net.addresses import Network, may_connect
from tokensvc.net.urls import KeyUrl, parse_key_url

MAX_BYTES = 256 * 1024
_CHUNK = 16 * 1024
_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
_OK = 200
_REDIRECTS = range(300, 400)


class FetchError(Exception):
    """The document could not be had. Says why, for the operator."""


class Deadline:
    """
    The end of a fetch, however many requests it takes.

    Args:
        seconds: From now.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """
        Give the seconds that are left.

        Raises:
            FetchError: None are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> FetchError:
        """Give the error of whoever is too late."""
        return FetchError(f"it took longer than {self._seconds:g} s")


class Fetcher:
    """
    Fetches documents from addresses that may be connected to.

    Args:
        allowed_networks: Networks that may be connected to though they are not public.
    """

    def __init__(self, allowed_networks: Sequence[Network]) -> None:
        self._allowed_networks = tuple(allowed_networks)
        self._ssl_context = ssl.create_default_context()

    def get(self, url: str, deadline: Deadline, *, loopback_allowed: bool) -> bytes:
        """
        Give the body of a 200 answer.

        Args:
            url: https, or http on this machine.
            deadline: When to give up, whatever has come by then.
            loopback_allowed: Whether the URL is the operator's, not one that a document gave.

        Raises:
            FetchError: For everything that can go wrong.
        """
        try:
            target = parse_key_url(url)
        except ValueError as error:
            raise FetchError(f"the URL {error}") from None
        loopback_allowed = loopback_allowed and target.is_loopback
        with _Watchdog(deadline) as watchdog:

            def dial() -> socket.socket:
                return watchdog.watch(self._dial(target, deadline, loopback_allowed))

            try:
                body = _get(self._connection(target, dial, deadline), target)
            except (OSError, HTTPException, HTTPError, ValueError) as error:
                watchdog.check()
                raise FetchError(f"{type(error).__name__}: {error}"[:200]) from error
            watchdog.check()
            return body

    def _connection(
        self, target: KeyUrl, dial: Callable[[], socket.socket], deadline: Deadline
    ) -> HTTPConnection:
        timeout = deadline.remaining()
        if target.scheme == "http":
            return _DialedHttp(dial, target.host, target.port, timeout=timeout)
        return _DialedHttps(
            dial, target.host, target.port, timeout=timeout, ssl_context=self._ssl_context
        )

    def _dial(self, target: KeyUrl, deadline: Deadline, loopback_allowed: bool) -> socket.socket:
        """Connect to the first address of the host that may be connected to and answers."""
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        addresses = dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)
        allowed = [
            address
            for address in addresses
            if may_connect(
                ipaddress.ip_address(address),
                allowed_networks=self._allowed_networks,
                loopback_allowed=loopback_allowed,
            )
        ]
        if not allowed:
            raise FetchError(
                f"{target.host} is at {', '.join(addresses)}, which is not public: "
                "name its network in jwks.allowed_networks if that is right"
            )
        failure: OSError | None = None
        for left, address in zip(range(len(allowed), 0, -1), allowed, strict=True):
            try:
                return socket.create_connection(
                    (address, target.port), timeout=deadline.remaining() / left
                )
            except OSError as error:
                failure = error
        raise failure or OSError("no address")


class _Dialed:
    """Connects by a function, so that the name is resolved once, where the address is checked."""

    def __init__(self, dial: Callable[[], socket.socket], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial()


class _DialedHttp(_Dialed, HTTPConnection):
    pass


class _DialedHttps(_Dialed, HTTPSConnection):
    pass


def _get(connection: HTTPConnection, target: KeyUrl) -> bytes:
    try:
        connection.request(
            "GET", target.target, headers=_HEADERS, preload_content=False, decode_content=False
        )
        return _bounded_body(connection.getresponse())
    finally:
        connection.close()


def _bounded_body(response: BaseHTTPResponse) -> bytes:
    if response.status in _REDIRECTS:
        raise FetchError(f"it answered {response.status}, and redirects are not followed")
    if response.status != _OK:
        raise FetchError(f"it answered {response.status}")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise FetchError("it answered with an encoding that was not asked for")
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > MAX_BYTES:
            raise FetchError(f"it answered with more than {MAX_BYTES // 1024} KiB")
    return bytes(body)


class _Watchdog:
    """
    Cuts the connection at the deadline.

    A socket's own time-out begins anew with each byte, so that a server which sends one now and
    then could hold a fetch for days.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._timer = threading.Timer(deadline.remaining(), self._cut)
        self._timer.daemon = True
        self._watched: socket.socket | None = None
        self._has_cut = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._timer.join()
        if self._watched:
            self._watched.close()

    def watch(self, connection: socket.socket) -> socket.socket:
        """Watch a connection, by a handle of its own: TLS takes the first one over."""
        self._watched = socket.socket(fileno=os.dup(connection.fileno()))
        return connection

    def check(self) -> None:
        """
        Tell a cut from what it looks like: a broken connection, or the end of a body.

        Raises:
            FetchError: The deadline has passed.
        """
        if self._has_cut:
            raise self._deadline.passed()
        self._deadline.remaining()

    def _cut(self) -> None:
        self._has_cut = True
        if self._watched:
            with suppress(OSError):  # the other side was faster
                self._watched.shutdown(socket.SHUT_RDWR)
