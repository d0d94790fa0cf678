"""
One outgoing HTTP request, bounded in time and size.

The deadline starts before the name look-up and covers connecting, the TLS handshake, the request
and the whole response. Redirects are never followed. The caller can restrict the addresses: the
address that was checked is the one that is used, because a second look-up could return another.
"""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

from tokensvc.core.deadline import Deadline
from tokensvc.core.waiting import may_block
from tokensvc.net.connect import CheckAddresses, connect

_CHUNK_BYTES = 65536
_MAX_ERROR_LENGTH = 300
_FAILURES = (OSError, HTTPException, HTTPError, ValueError)


class NoResponseError(Exception):
    """No valid response. The server may have processed the request, or may process it later."""


class NotSentError(NoResponseError):
    """No connection was established. The request was not sent."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """
    A complete response.

    Attributes:
        headers: Header fields; names are case-insensitive.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def send_request(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    body: bytes | None = None,
    deadline: Deadline,
    max_bytes: int,
    check_addresses: CheckAddresses = lambda _host, addresses: addresses,
) -> HttpResponse:
    """
    Send one request on a new connection and return the response, whatever its status.

    Connections are not reused: the server may have closed one, which looks like a lost response.

    Args:
        url: An http or https URL.
        max_bytes: Largest accepted response body.
        check_addresses: Filter for the addresses of the host, which raises `NotSentError` if none
            may be used; accepts all by default.

    Raises:
        NotSentError: No connection was established.
        NoResponseError: No response arrived within the deadline and the size limit.
    """
    may_block()
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    fields = {"Accept-Encoding": "identity", "Connection": "close", **headers}
    host, port = parts.hostname or "", parts.port or (80 if parts.scheme == "http" else 443)
    watchdog = _Watchdog(deadline)

    def dial() -> socket.socket:
        return watchdog.watch(connect(host, port, deadline, check_addresses))

    with watchdog.running():
        connection = _new_connection(parts.scheme, dial, host, port)
        connection.timeout = deadline.timeout()
        try:
            with watchdog.errors(NotSentError, f"cannot connect to {parts.netloc}"):
                connection.connect()
            with watchdog.errors(NoResponseError, f"no complete response from {parts.netloc}"):
                connection.request(
                    method, target, body, fields, decode_content=False, preload_content=False
                )
                return _read(connection.getresponse(), max_bytes)
        finally:
            connection.close()


def _read(response: BaseHTTPResponse, max_bytes: int) -> HttpResponse:
    body = bytearray()
    while chunk := response.read(_CHUNK_BYTES):
        body += chunk
        if len(body) > max_bytes:
            raise NoResponseError(f"the response is larger than {max_bytes // 1024} KiB")
    return HttpResponse(response.status, response.headers, bytes(body))


class _Dialed:
    """A connection whose socket a function opens, so that the host is looked up only once."""

    def __init__(self, dial: Callable[[], socket.socket], *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._dial = dial

    def _new_conn(self) -> socket.socket:
        return self._dial()


class _DialedHttp(_Dialed, HTTPConnection):
    pass


class _DialedHttps(_Dialed, HTTPSConnection):
    pass


def _new_connection(
    scheme: str, dial: Callable[[], socket.socket], host: str, port: int
) -> HTTPConnection:
    if scheme == "http":
        return _DialedHttp(dial, host, port)
    return _DialedHttps(dial, host, port, ssl_context=trusted_authorities())


@cache
def trusted_authorities() -> ssl.SSLContext:
    """Return the certificate authorities of the system. Reading them takes 20 ms."""
    return ssl.create_default_context()


class _Watchdog:
    """
    Cuts the connection at the deadline.

    A socket's own timeout restarts with each byte, so that a server that sends one byte now and
    then could hold a request for days.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._timer = threading.Timer(deadline.remaining(), self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None
        self._has_cut = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Watch until the block ends."""
        self._timer.start()
        try:
            yield
        finally:
            self._timer.cancel()
            self._timer.join()
            if self._watched:
                self._watched.close()

    def watch(self, connection: socket.socket) -> socket.socket:
        """
        Watch a new connection through a handle of its own, because TLS takes over the first one.

        Raises:
            OSError: The deadline has passed.
        """
        with self._lock:
            if self._has_cut:
                connection.close()
                raise OSError("too late")
            self._watched = socket.socket(fileno=os.dup(connection.fileno()))
        return connection

    @contextmanager
    def errors(self, kind: type[NoResponseError], what: str) -> Iterator[None]:
        """
        Translate the failures of a block.

        A cut looks like a broken connection or like the end of a body: the deadline is the reason.
        """
        try:
            yield
        except NoResponseError:
            raise
        except _FAILURES as error:
            if self._has_passed:
                raise kind(str(self._deadline)) from error
            text = f"{what}: {type(error).__name__}: {error}"
            raise kind(text[:_MAX_ERROR_LENGTH]) from error
        if self._has_passed:
            raise kind(str(self._deadline))

    @property
    def _has_passed(self) -> bool:
        return self._has_cut or not self._deadline.remaining()

    def _cut(self) -> None:
        with self._lock:
            self._has_cut = True
            if self._watched:
                with suppress(OSError):  # the server closed it first
                    self._watched.shutdown(socket.SHUT_RDWR)
