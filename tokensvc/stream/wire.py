"""
One request to Stream with the server token, bounded in time and size.

The server token is an admin credential without an end. It is made here, goes into one header of one
request to the configured host, and is in no return value, error or log. A redirect is an answer
like any other: the token would go with it.
"""

import hmac
import json
import os
import socket
import ssl
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

import tokensvc

TIMEOUT = 5.0
"""Seconds for a connection, and for each silence in an answer."""

DEADLINE = 10.0
"""Seconds for an exchange as a whole, against a host that sends it byte by byte."""

MAX_ANSWER_BYTES = 1024 * 1024

_HEADER = b"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
_SERVER_CLAIMS = urlsafe_b64encode(b'{"server":true}').rstrip(b"=")
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class KeyPair:
    """
    What a call is signed with.

    Attributes:
        api_key: Public.
        secret: The secret's UTF-8 bytes.
    """

    api_key: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Exchanged:
    """
    An answer, whoever it is from.

    Attributes:
        content: The body, if it is a JSON object.
    """

    status: int
    headers: Mapping[str, str]
    content: Mapping[str, Any] | None


class StreamUnavailableError(Exception):
    """Stream gave no verdict. What the request asked for may have been done, or be done later."""


class NotSentError(StreamUnavailableError):
    """No connection came about: nothing was asked for."""


def exchange(
    base_url: str,
    key: KeyPair,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: Mapping[str, Any] | None = None,
) -> Exchanged:
    """
    Send one request on a connection of its own.

    A kept one may have been closed at the other end, which looks like an answer that was lost.

    Args:
        base_url: Of Stream's API.
        path: Below it.
        body: Sent as JSON.

    Raises:
        StreamUnavailableError: There is no answer, or one out of bounds; `NotSentError` if that is
            because nothing was sent.
    """
    parts = urlsplit(base_url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    target = (
        f"{parts.path.rstrip('/')}/{path}?{urlencode({'api_key': key.api_key, **(query or {})})}"
    )
    payload = None if body is None else json.dumps(body).encode("utf-8")
    try:
        try:
            connection.connect()
        except (OSError, HTTPError) as error:
            raise NotSentError(f"{parts.netloc} was not reached: {error}"[:300]) from error
        return _ask(connection, method, target, payload, _headers(key, payload))
    finally:
        connection.close()


def _ask(
    connection: HTTPConnection,
    method: str,
    target: str,
    payload: bytes | None,
    headers: Mapping[str, str],
) -> Exchanged:
    """
    Send the request on an open connection, and read what is answered.

    Raises:
        StreamUnavailableError: There is no answer, or one out of bounds.
    """
    with _bounded(connection) as bound:
        try:
            connection.request(
                method, target, payload, headers, decode_content=False, preload_content=False
            )
            answer = _read(connection.getresponse())
        except (OSError, HTTPException, HTTPError) as error:
            bound.check()
            raise StreamUnavailableError(f"no whole answer: {error}"[:300]) from error
        bound.check()
        return answer


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme == "http":
        return HTTPConnection(host, port or 80, timeout=TIMEOUT)
    return HTTPSConnection(host, port or 443, timeout=TIMEOUT, ssl_context=_trust())


@cache
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


def _headers(key: KeyPair, payload: bytes | None) -> dict[str, str]:
    headers = {
        "Accept-Encoding": "identity",
        "Authorization": _server_token(key.secret),
        "Connection": "close",
        "stream-auth-type": "jwt",
        "X-Stream-Client": f"tokensvc-{tokensvc.__version__}",
    }
    return headers if payload is None else {**headers, "Content-Type": "application/json"}


def _server_token(secret: bytes) -> str:
    signing_input = _HEADER + b"." + _SERVER_CLAIMS
    signature = urlsafe_b64encode(hmac.digest(secret, signing_input, "sha256")).rstrip(b"=")
    return (signing_input + b"." + signature).decode("ascii")


def _read(response: BaseHTTPResponse) -> Exchanged:
    body = bytearray()
    while chunk := response.read(_CHUNK):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise StreamUnavailableError(f"the answer is over {MAX_ANSWER_BYTES} bytes")
    return Exchanged(response.status, response.headers, _object(bytes(body)))


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


class _Bound:
    """Cuts a connection after `DEADLINE`; a socket's own time-out begins anew with each byte."""

    def __init__(self, connection: HTTPConnection) -> None:
        # A handle of its own, which TLS does not know of.
        self._socket = socket.socket(fileno=os.dup(connection.sock.fileno()))
        self._timer = threading.Timer(DEADLINE, self._cut)
        self._timer.daemon = True
        self._has_cut = False

    def start(self) -> None:
        self._timer.start()

    def check(self) -> None:
        """
        Tell a cut from what it looks like: a broken connection, or the end of a body.

        Raises:
            StreamUnavailableError: The deadline has passed.
        """
        if self._has_cut:
            raise StreamUnavailableError(f"the answer took over {DEADLINE:g} s")

    def close(self) -> None:
        self._timer.cancel()
        self._timer.join()
        self._socket.close()

    def _cut(self) -> None:
        self._has_cut = True
        with suppress(OSError):  # the other end was faster
            self._socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def _bounded(connection: HTTPConnection) -> Iterator[_Bound]:
    bound = _Bound(connection)
    bound.start()
    try:
        yield bound
    finally:
        bound.close()
