"""
A real HTTP server on a socket. It fails as planned and records its calls.

Owns the socket, the threads, the faults and the record. The caller provides the function that
creates responses. The doubles built on this server implement the protocols.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from testing.doubles.faults import Fault, FaultKind, Faults
from testing.doubles.listener import Listener
from testing.response import Response


@dataclass
class Call:
    """
    A received request and its result.

    Attributes:
        target: Request target, query included.
        facts: Findings of the double, such as the verified user.
        fault: Planned failure of this call.
        status: Status code of the response; `None` if no response was sent.
        response: Response that was sent completely.
        done: Whether the double has finished with the call.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    facts: dict[str, Any] = field(default_factory=dict)
    fault: Fault | None = None
    status: int | None = None
    response: Response | None = None
    done: bool = False

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Record:
    """Received calls, in order."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._changed = threading.Condition()

    def to(self, method: str, path: str) -> list[Call]:
        with self._changed:
            return [call for call in self._calls if (call.method, call.path) == (method, path)]

    def all(self) -> list[Call]:
        with self._changed:
            return list(self._calls)

    def clear(self) -> None:
        with self._changed:
            self._calls.clear()

    def add(self, call: Call) -> None:
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()

    def finish(self, call: Call) -> None:
        with self._changed:
            call.done = True
            self._changed.notify_all()

    def wait_until_done(self) -> None:
        """Wait until no call is in progress."""
        with self._changed:
            done = self._changed.wait_for(lambda: all(call.done for call in self._calls), 20)
        assert done, "calls are still in progress"

    def wait_for(self, method: str, path: str, count: int = 1, timeout: float = 20) -> list[Call]:
        """Wait until a route has `count` calls, and return its calls."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.to(method, path)) >= count, timeout)
        assert arrived, f"{len(self.to(method, path))} of {count} calls to {method} {path} arrived"
        return self.to(method, path)


class HttpDouble:
    """
    The server, as a context manager. The constructor starts it.

    Args:
        respond: Function that returns the response to a call.
        upgrade: Function that takes over the socket of a WebSocket request.
        clock: Clock of the `Date` header, in epoch seconds.
        faults: Failures of calls; by default only those that a test plans.
        host: Address to listen on.
    """

    def __init__(
        self,
        respond: Callable[[Call], Response],
        *,
        clock: Callable[[], float],
        upgrade: Callable[[Call, socket.socket], None] | None = None,
        faults: Faults | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        self.faults = faults or Faults()
        self.calls = Record()
        self.respond = respond
        self.upgrade = upgrade
        self.clock = clock
        self._server = _Server(self, host)
        self.url = f"http://{host}:{self._server.server_port}"
        self._server.start()

    def close(self) -> None:
        self.faults.clear()
        self._server.stop()
        self._server.hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(Listener):
    def __init__(self, double: HttpDouble, host: str) -> None:
        self.double = double
        self._open: set[socket.socket] = set()
        super().__init__(host, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close the connections that clients keep alive."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients disconnect intentionally
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body leave in one packet
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        double = self.server.double
        parts = urlsplit(self.path)
        call = Call(
            method=self.command,
            target=self.path,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._read_body(),
        )
        call.fault = double.faults.take(call.route)
        double.calls.add(call)
        try:
            self._meet(call)
        finally:
            double.calls.finish(call)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _meet(self, call: Call) -> None:
        kind = call.fault.kind if call.fault else None
        if kind in {FaultKind.REFUSE, FaultKind.LATE}:
            self._hang_up()
        if kind is FaultKind.REFUSE:
            return
        if call.fault and kind in {FaultKind.HANG, FaultKind.LATE}:
            call.fault.wait()
        self._respond(call, connected=kind is not FaultKind.LATE)

    def _respond(self, call: Call, *, connected: bool) -> None:
        double = self.server.double
        if double.upgrade and call.headers.get("upgrade", "").lower() == "websocket":
            self.close_connection = True
            double.upgrade(call, self.connection)
            return
        planned = call.fault.response if call.fault else None
        response = planned or double.respond(call)
        if connected:
            self._send(call, response)

    def _send(self, call: Call, response: Response) -> None:
        payload = response.body
        self.send_response(response.status)
        self.send_header("Content-Type", "application/json")
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if call.fault and call.fault.kind is FaultKind.CUT:
            self.wfile.write(payload[: len(payload) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        call.status, call.response = response.status, response
        self.wfile.write(payload)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(
            self.server.double.clock() if timestamp is None else timestamp, usegmt=True
        )

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""
