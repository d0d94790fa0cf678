"""
A real HTTP server on a socket that fails on order and keeps a record of its calls.

Owns the socket, the threads, the faults and the record. Leaves what is answered to the function
that it is given, and everything about a protocol to the doubles built on it.
"""

import json
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from testing.doubles.faults import Answer, Fault, FaultKind, Faults


@dataclass
class Call:
    """
    One request that arrived, and what became of it.

    Attributes:
        facts: What the double found out on the way, such as the verified user.
        fault: The planned failure that it met.
        status: Of the answer; `None` while, or because, none was sent.
        answer: Its body, parsed when it is JSON.
        done: Whether the double is through with it, applied and answered or not.
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
    answer: Any = None
    done: bool = False

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Record:
    """The calls that arrived, in order; waiting is for a number of calls, never for a time."""

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

    def wait_until_done(self, timeout: float = 20) -> None:
        """Return as soon as no call is under way."""
        with self._changed:
            done = self._changed.wait_for(lambda: all(call.done for call in self._calls), timeout)
        assert done, "calls are still under way"

    def wait_for(self, method: str, path: str, count: int = 1, timeout: float = 20) -> list[Call]:
        """Give the calls to a route as soon as there are `count` of them."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.to(method, path)) >= count, timeout)
        assert arrived, f"{len(self.to(method, path))} of {count} calls to {method} {path} arrived"
        return self.to(method, path)


class HttpDouble:
    """
    The server. A context manager; it listens from its construction on.

    Args:
        respond: Answers a call.
        upgrade: Takes the socket over when a call asks for a WebSocket.
        clock: Epoch seconds, for the `Date` header.
        faults: What its calls meet; by default what a test plans.
    """

    def __init__(
        self,
        respond: Callable[[Call], Answer],
        *,
        clock: Callable[[], float],
        upgrade: Callable[[Call, socket.socket], None] | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.faults = faults or Faults()
        self.calls = Record()
        self.respond = respond
        self.upgrade = upgrade
        self.clock = clock
        self._server = _Server(self)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.faults.clear()
        self._server.shutdown()
        self._server.server_close()
        self._server.hang_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a call that hangs must not hold the end of a test
    request_queue_size = 128

    def __init__(self, double: HttpDouble) -> None:
        self.double = double
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep alive: a double that is gone answers nobody."""
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients go away on purpose
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
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        call.fault = double.faults.take(call.route)
        double.calls.add(call)
        try:
            self._meet(call)
        finally:
            double.calls.finish(call)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _serve  # noqa: N815 - http.server's

    def _meet(self, call: Call) -> None:
        kind = call.fault.kind if call.fault else None
        if kind in {FaultKind.REFUSE, FaultKind.LATE}:
            self._hang_up()
        if kind is FaultKind.REFUSE:
            return
        if call.fault and kind in {FaultKind.HANG, FaultKind.LATE}:
            call.fault.wait()
        self._answer(call, heard=kind is not FaultKind.LATE)

    def _answer(self, call: Call, *, heard: bool) -> None:
        double = self.server.double
        if double.upgrade and call.headers.get("upgrade", "").lower() == "websocket":
            self.close_connection = True
            double.upgrade(call, self.connection)
            return
        ordered = call.fault.answer if call.fault else None
        answer = ordered or double.respond(call)
        if heard:
            self._send(call, answer)

    def _send(self, call: Call, answer: Answer) -> None:
        payload = answer.payload
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if call.fault and call.fault.kind is FaultKind.CUT:
            self.wfile.write(payload[: len(payload) // 2])
            self.wfile.flush()
            self._hang_up()
            return
        call.status, call.answer = answer.status, answer.parsed
        self.wfile.write(payload)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return formatdate(
            self.server.double.clock() if timestamp is None else timestamp, usegmt=True
        )

    def log_message(self, *_: object) -> None:
        """Keep standard error for the tests."""
