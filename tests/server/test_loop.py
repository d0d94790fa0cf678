"""The loop over real sockets: which request waits for which, and the order of responses."""

import contextlib
import socket
import threading
import time

import pytest

from testing import raw
from tests.server.conftest import MAX_CONNECTIONS, Server, get, receive, running_loop, wait_until
from tokensvc.server import connection, connections, loop
from tokensvc.server.framing import MAX_HEAD

POST = b"POST /echo HTTP/1.1\r\nHost: a\r\n"


def slow_reader(server: Server, data: bytes) -> socket.socket:
    sock = socket.socket()
    sock.settimeout(raw.TIMEOUT)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    sock.connect(("127.0.0.1", int(server.base_url.rpartition(":")[2])))
    sock.sendall(data)
    return sock


@pytest.mark.sec(65)
def test_slowest_readers_are_dropped_over_the_limit(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has read for longest ends; later ones get their responses."""
    monkeypatch.setattr(connections, "MAX_UNSENT", 12_000_000)
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(6):  # 8 MB each, of which the kernel takes less than 5
            socks.append(stack.enter_context(slow_reader(server, get(b"/large"))))
            assert receive(stack.enter_context(server.connect(get(b"/healthz")))).status == 200
        with pytest.raises(ConnectionResetError):
            while True:
                assert socks[0].recv(65536)
        assert receive(socks[-1]).body == server.gate.large


@pytest.mark.sec(65)
def test_client_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it alone holds unsent bytes."""
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.2)
    with running_loop() as server, slow_reader(server, get(b"/large")) as sock:
        wait_until(lambda: bool(server.gate.paths) and len(server.loop._connections) == 0)
        with pytest.raises(ConnectionResetError):
            while True:
                assert sock.recv(65536)


@pytest.mark.sec(65)
def test_reader_that_is_slow_gets_the_whole_response(server: Server) -> None:
    with server.connect(get(b"/large") + get(b"/healthz", b"Connection: close")) as sock:
        large, small = raw.parse(raw.read_to_end(sock))
    assert (large.body, small.headers["X-Path"]) == (server.gate.large, "/healthz")


@pytest.mark.sec(65)
@pytest.mark.parametrize("path", [b"/wait", b"/spin"])
def test_waiting_request_does_not_stop_the_loop(server: Server, path: bytes) -> None:
    """Announced by `may_block()` or found by the watchdog, a wait passes the lead on."""
    (waiting,) = server.occupy(1, path)
    with waiting, server.connect(get(b"/other")) as sock:
        assert receive(sock).headers["X-Path"] == "/other"
        server.gate.is_open.set()
        assert receive(waiting).status == 200


@pytest.mark.sec(65)
def test_health_responds_while_every_thread_waits(server: Server) -> None:
    """Other requests wait for a thread, and get one when there is one."""
    with contextlib.ExitStack() as stack:
        for sock in server.occupy(2):
            stack.enter_context(sock)
        queued = stack.enter_context(server.connect(get(b"/queued")))
        for path in (b"/healthz", b"/readyz", b"/readyz/instance"):
            assert receive(stack.enter_context(server.connect(get(path)))).status == 200
        assert "/queued" not in server.gate.paths
        server.gate.is_open.set()
        assert receive(queued).headers["X-Path"] == "/queued"


@pytest.mark.sec(65)
def test_time_in_the_queue_counts_for_the_deadline(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for sock in server.occupy(2):
            stack.enter_context(sock)
        queued = stack.enter_context(server.connect(get(b"/queued")))
        assert receive(stack.enter_context(server.connect(get(b"/healthz")))).status == 200
        received_by = time.monotonic()
        time.sleep(0.2)
        server.gate.is_open.set()
        assert receive(queued).status == 200
    assert server.gate.received_at["/queued"] <= received_by


@pytest.mark.sec(65)
def test_request_without_a_thread_gets_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "QUEUE_SECONDS", 0.2)
    with running_loop() as server, contextlib.ExitStack() as stack:
        for sock in server.occupy(2):
            stack.enter_context(sock)
        (refused,) = raw.converse(server.base_url, get(b"/queued"))
        assert refused.status == 503
        server.gate.is_open.set()
        assert "/queued" not in server.gate.paths


@pytest.mark.sec(65)
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (get(b"/queued"), 503),
        (b"GET /late HTTP/1.1\r\n", 408),
        (b"GET /long" + b"a" * MAX_HEAD, 414),
    ],
)
def test_refused_head_request_gets_no_body(
    monkeypatch: pytest.MonkeyPatch, request_bytes: bytes, status: int
) -> None:
    """The length is that of the body that GET gets."""
    monkeypatch.setattr(connections, "QUEUE_SECONDS", 0.2)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with running_loop() as server, contextlib.ExitStack() as stack:
        for sock in server.occupy(2):
            stack.enter_context(sock)
        (refused,) = raw.converse(server.base_url, request_bytes)
        head_bytes = request_bytes.replace(b"GET", b"HEAD")[:MAX_HEAD]
        data = raw.read_to_end(stack.enter_context(server.connect(head_bytes)))
        head, _, body = data.partition(b"\r\n\r\n")
        assert (refused.status, head.split()[1], body) == (status, b"%d" % status, b"")
        assert b"Content-Length: %d" % len(refused.body) in head
        failures = [(failure.status, failure.client) for failure in server.gate.refused]
        assert failures == [(status, "127.0.0.1")] * 2


@pytest.mark.sec(65)
def test_request_that_ends_at_its_queue_deadline_keeps_its_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread may finish it between the look at the deadlines and their effect."""
    monkeypatch.setattr(connections, "QUEUE_SECONDS", 0.2)
    with running_loop() as server:
        end_wait = server.loop._end_wait

        def end_late(late: connection.Connection, *rest: object) -> None:
            server.gate.is_open.set()
            wait_until(lambda: late in server.loop._connections.idle)
            end_wait(late, *rest)

        monkeypatch.setattr(server.loop, "_end_wait", end_late)
        (sock,) = server.occupy(1)
        with sock:
            assert receive(sock).status == 200
            sock.sendall(get(b"/healthz"))
            assert receive(sock).status == 200


@pytest.mark.sec(65)
def test_slow_reader_that_another_thread_drops_does_not_end_the_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader may be about to send more to it."""
    send = connection.Connection.send
    droppers = []

    def send_late(slow: connection.Connection) -> connection.Sent:
        if slow in server.loop._connections.sending:
            dropper = threading.Thread(target=server.loop._close_locked, args=(slow,))
            dropper.start()
            dropper.join(0.2)
            droppers.append(dropper)
            monkeypatch.setattr(connection.Connection, "send", send)
        return send(slow)

    monkeypatch.setattr(connection.Connection, "send", send_late)
    with slow_reader(server, get(b"/large")) as sock, contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    droppers[0].join(20)
    assert server.loop._connections._unsent == 0
    with server.connect(get(b"/healthz")) as sock:
        assert receive(sock).status == 200


@pytest.mark.sec(65)
def test_new_connection_closes_the_one_that_is_idle_for_longest(server: Server) -> None:
    with contextlib.ExitStack() as stack:

        def open_one() -> socket.socket:
            sock = stack.enter_context(server.connect(get(b"/healthz")))
            assert receive(sock).status == 200
            return sock

        socks = [open_one() for _ in range(MAX_CONNECTIONS)]
        socks[0].sendall(get(b"/healthz"))
        assert receive(socks[0]).status == 200
        open_one()
        assert socks[1].recv(1) == b""
        for sock in (socks[0], socks[2], socks[-1]):
            sock.sendall(get(b"/healthz"))
            assert receive(sock).status == 200


@pytest.mark.sec(65)
def test_new_connection_closes_the_one_that_sends_its_request_for_longest(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(server.connect(POST + b"X-Slow: ")) for _ in range(MAX_CONNECTIONS)
        ]
        wait_until(lambda: len(server.loop._connections.heads) == MAX_CONNECTIONS)
        assert receive(stack.enter_context(server.connect(get(b"/healthz")))).status == 200
        with contextlib.suppress(ConnectionResetError):
            assert socks[0].recv(1) == b""
        socks[-1].sendall(b"\r\n\r\n")
        assert receive(socks[-1]).status == 200


def test_pipelined_requests_get_responses_in_order(server: Server) -> None:
    """A request that waits holds back those that follow it on its connection."""
    requests = [get(b"/wait"), get(b"/second"), get(b"/third", b"Connection: close")]
    with server.connect(b"".join(requests)) as sock:
        assert server.gate.arrived.acquire(timeout=20)
        assert server.gate.paths == ["/wait"]
        server.gate.is_open.set()
        paths = [response.headers["X-Path"] for response in raw.parse(raw.read_to_end(sock))]
    assert paths == server.gate.paths == ["/wait", "/second", "/third"]


def test_stop_loses_no_request_that_was_received(server: Server) -> None:
    """Running requests, queued ones, and those that idle clients still send get responses."""
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(server.connect(get(b"/first")))
        assert receive(idle).headers["Connection"] == "keep-alive"
        running = [stack.enter_context(sock) for sock in server.occupy(2)]
        queued = stack.enter_context(server.connect(get(b"/queued")))
        assert receive(stack.enter_context(server.connect(get(b"/healthz")))).status == 200
        server.loop.stop()
        idle.sendall(get(b"/last"))
        server.gate.is_open.set()
        for sock, path in [
            *((sock, "/wait") for sock in running),
            (queued, "/queued"),
            (idle, "/last"),
        ]:
            response = receive(sock)
            assert response.headers["X-Path"] == path
        assert response.headers["Connection"] == "close"


def test_stop_gives_time_for_another_request_after_a_late_response(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The response said keep-alive, because the request began before the stop."""
    monkeypatch.setattr(loop, "STOP_SECONDS", 0.5)
    (late,) = server.occupy(1)
    idle = server.connect(get(b"/first"))
    with late, idle:
        assert receive(idle).status == 200
        server.loop.stop()
        assert idle.recv(1) == b""  # the last call has passed
        server.gate.is_open.set()
        assert receive(late).headers["Connection"] == "keep-alive"
        time.sleep(0.2)
        late.sendall(get(b"/last"))
        assert receive(late).headers["Connection"] == "close"


def test_stop_refuses_new_connections(server: Server) -> None:
    (waiting,) = server.occupy(1)
    server.loop.stop()
    with waiting:
        with pytest.raises(ConnectionError):
            while True:
                server.connect(get(b"/late")).close()
        server.gate.is_open.set()
        assert receive(waiting).status == 200


def test_client_that_ends_its_side_gets_its_response(server: Server) -> None:
    with server.connect(get(b"/one") + get(b"/two")) as sock:
        sock.shutdown(socket.SHUT_WR)
        assert [response.status for response in raw.parse(raw.read_to_end(sock))] == [200, 200]


@pytest.mark.sec(57)
def test_malformed_head_is_refused_before_its_body_is_invited(server: Server) -> None:
    head = POST + b"Host: b\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    with server.connect(head) as sock:
        assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
