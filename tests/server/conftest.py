"""A loop in this process, in front of any WSGI application."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from gunicorn.config import Config

from testing import raw
from testing.response import Response
from tokensvc.core import blocking, deadline
from tokensvc.core.clock import system_clock
from tokensvc.http.problems import Problems
from tokensvc.server.connection import Connection
from tokensvc.server.lead import PATIENCE, Lead, Member, Role
from tokensvc.server.loop import Loop
from tokensvc.server.responder import Responder

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

    `/wait` announces its wait, `/spin` does not; both end when the gate is opened. `deadlines`
    has the deadline of each path, on the monotonic clock.
    """

    is_open: threading.Event = field(default_factory=threading.Event)
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    paths: list[str] = field(default_factory=list)
    deadlines: dict[str, float] = field(default_factory=dict)
    large: bytes = b"x" * 8_000_000

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        path = environ["PATH_INFO"]
        self.paths.append(path)
        self.deadlines[path] = time.monotonic() + deadline.remaining(60)
        if path == "/wait":
            blocking.may_block()
        if path in {"/wait", "/spin"}:
            self.arrived.release()
            self.is_open.wait(20)
        start_response("200 OK", [("X-Path", path)])
        return [self.large if path == "/large" else environ["wsgi.input"].read()]


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
        lead: Lead[Connection] = Lead(wake.set)
        responder = Responder(
            gate, gunicorn_settings(), Problems("https://a.example"), system_clock
        )
        loop = Loop(
            [listener],
            responder,
            lead,
            max_connections=MAX_CONNECTIONS,
            keepalive=75,
            count=lambda: None,
        )
        own = threading.local()

        def serve() -> None:
            member = own.member = Member[Connection]()
            while (role := lead.claim(member)) is not Role.STOP:
                if role is Role.LEAD:
                    loop.lead(member)
                else:
                    loop.run(member.job)

        def watch() -> None:
            while workers[0].is_alive():
                if lead.watch() is None:
                    wake.wait(0.05)
                    wake.clear()
                else:
                    wake.wait(PATIENCE)

        workers = [threading.Thread(target=serve) for _ in range(threads + 1)]
        blocking.set_hook(lambda: lead.give_up(own.member) if hasattr(own, "member") else None)
        for thread in [*workers, threading.Thread(target=watch)]:
            thread.start()
        try:
            yield Server("http://{}:{}".format(*listener.getsockname()), loop, gate)
        finally:
            gate.is_open.set()
            loop.stop()
            for thread in workers:
                thread.join(20)
            blocking.set_hook(lambda: True)
    assert not any(thread.is_alive() for thread in workers)


@pytest.fixture
def server() -> Iterator[Server]:
    with running_loop() as running:
        yield running
