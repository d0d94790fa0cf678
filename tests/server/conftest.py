"""A loop in this process, in front of any WSGI application."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from gunicorn.config import Config

from testing import raw
from testing.response import Response
from tokensvc.server.hooks import Application, Failure, Hooks
from tokensvc.server.loop import Loop
from tokensvc.server.responder import Responder
from tokensvc.server.threads import ServingThreads

MAX_CONNECTIONS = 100


def gunicorn_settings() -> Config:
    settings = Config()
    settings.set("forwarded_allow_ips", "")
    settings.set("limit_request_field_size", 32768)
    return settings


@dataclass
class Gate:
    """
    An application with a route that waits.

    `/wait` announces its wait, `/spin` does not; both end when the gate is opened. `received_at`
    has the time at which the request of each path was received, on the monotonic clock.
    """

    is_open: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    paths: list[str] = field(default_factory=list)
    received_at: dict[str, float] = field(default_factory=dict)
    refused: list[Failure] = field(default_factory=list)
    large: bytes = b"x" * 8_000_000
    _this_thread: threading.local = field(default_factory=threading.local)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        path = environ["PATH_INFO"]
        self.paths.append(path)
        self.received_at[path] = self._this_thread.received_at
        if path == "/wait":
            self._give_up_lead()
        if path in {"/wait", "/spin"}:
            self.arrived.release()
            self.is_open.wait(20)
        start_response("200 OK", [("X-Path", path)])
        return [self.large if path == "/large" else environ["wsgi.input"].read()]

    def hooks(self) -> Hooks:
        """Return hooks that record what the worker does with the application."""
        return Hooks(
            begin_deadline=partial(setattr, self._this_thread, "received_at"),
            on_wait=partial(setattr, self, "_give_up_lead"),
            refuse=self._refuse,
            report_load=lambda *_: None,
        )

    def _refuse(self, failure: Failure) -> Application:
        self.refused.append(failure)

        def respond(_: Any, start_response: Callable[..., Any]) -> list[bytes]:
            status, body = failure.status, failure.detail.encode() or b"No detail."
            fields = [("Content-Length", str(len(body)))]
            start_response(f"{status.value} {status.phrase}", fields)
            return [body]

        return respond


@dataclass
class Server:
    """A loop with its threads."""

    base_url: str
    loop: Loop
    gate: Gate

    def connect(self, data: bytes = b"") -> socket.socket:
        """Open a connection and send some bytes."""
        sock = raw.connect(self.base_url)
        sock.sendall(data)
        return sock

    def occupy(self, count: int, path: bytes = b"/wait") -> list[socket.socket]:
        """Start requests that wait, and return once all of them do."""
        socks = [self.connect(get(path)) for _ in range(count)]
        for _ in socks:
            assert self.gate.arrived.acquire(timeout=20)
        return socks


def get(path: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


def receive(sock: socket.socket) -> Response:
    """Read one response from a connection that stays open."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536) or pytest.fail(f"connection closed after {data!r}")
    head = data.partition(b"\r\n\r\n")[0].lower()
    length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(data) < len(head) + 4 + length:
        data += sock.recv(65536) or pytest.fail(f"connection closed after {data[:200]!r}")
    (response,) = raw.parse(data)
    return response


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def running_loop(threads: int = 2) -> Iterator[Server]:
    """Run a loop for `threads` requests at a time."""
    gate = Gate()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        listener.setblocking(False)
        wake = threading.Event()
        serving = ServingThreads(
            [listener],
            Responder(gate, gunicorn_settings(), gate.hooks()),
            threads=threads,
            max_connections=MAX_CONNECTIONS,
            keepalive=75,
            count=lambda: None,
            wake=wake.set,
        )

        def supervise() -> None:
            while serving.are_alive:
                wake.wait(serving.watch())
                wake.clear()

        supervisor = threading.Thread(target=supervise)
        serving.start()
        supervisor.start()
        try:
            yield Server("http://{}:{}".format(*listener.getsockname()), serving._loop, gate)
        finally:
            gate.is_open.set()
            serving.stop()
            supervisor.join(20)
    assert not supervisor.is_alive()
    assert not serving.has_failed


@pytest.fixture
def server() -> Iterator[Server]:
    with running_loop() as running:
        yield running
