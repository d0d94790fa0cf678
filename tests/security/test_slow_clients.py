"""Slow clients, and clients that do not read, delay no other client."""

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from testing.http_client import Client
from testing.raw import connect, converse, parse, read_to_end
from testing.service import ROOT, Service, running_service
from tests.security.test_http_limits import head
from tests.security.test_http_smuggling import check_problem

MORE_THAN_THREADS = 64
"""Clients: more than the threads of the service's worker."""

SLOW = {
    "nothing": b"",
    "half a request line": b"GET /heal",
    "an empty line": b"\r\n",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
    "half a long head": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 9000,
    "half a body": head(b"POST /v1/token HTTP/1.1", b"Content-Length: 100") + b"{",
    "half a long body": head(b"POST /v1/token HTTP/1.1", b"Content-Length: 16384") + b" " * 16383,
    "no body after 100": head(
        b"POST /v1/token HTTP/1.1", b"Content-Length: 100", b"Expect: 100-continue"
    ),
    "half a chunk": head(b"POST /v1/token HTTP/1.1", b"Transfer-Encoding: chunked") + b"5\r\nab",
    "a chunk announced": head(b"POST /v1/token HTTP/1.1", b"Transfer-Encoding: chunked")
    + b"FFFFFF\r\nab",
    "an end inside a chunk": head(b"POST /v1/token HTTP/1.1", b"Transfer-Encoding: chunked")
    + b"9\r\n\r\n0\r\n\r\n",
    "half a trailer": head(b"POST /v1/token HTTP/1.1", b"Transfer-Encoding: chunked")
    + b"0\r\nX: a\r\n",
    "half a body that is refused": head(b"POST /v1/token HTTP/1.1", b"Content-Length: 99999"),
}


@contextlib.contextmanager
def service_with_deadlines(folder: Path, seconds: float) -> Iterator[Service]:
    (folder / "sitecustomize.py").write_text(
        "from tokensvc.server import connections\n"
        f"connections.HEAD_SECONDS = connections.BODY_SECONDS = {seconds}\n"
        f"connections.SEND_SECONDS = connections.LINGER_SECONDS = {seconds}\n"
    )
    with running_service(folder, PYTHONPATH=f"{folder}:{ROOT}") as running:
        yield running


@pytest.fixture(scope="module")
def patient_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service with deadlines longer than any test."""
    with service_with_deadlines(tmp_path_factory.mktemp("patient"), 3600.0) as running:
        yield running


def check_others_are_served(service: Service) -> None:
    """Fail unless other clients get responses, one of them from behind the parser."""
    client = Client(service.base_url)
    assert client.get("/healthz").status == 200
    assert client.get("/v1/token").code == "credentials_missing"


@pytest.mark.sec(51, 65)
@pytest.mark.parametrize("case", SLOW)
def test_unfinished_requests_occupy_no_thread(patient_service: Service, case: str) -> None:
    """More unfinished requests than threads do not delay a whole one, nor does another byte."""
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(connect(patient_service.base_url)) for _ in range(MORE_THAN_THREADS)
        ]
        for sock in socks:
            sock.sendall(SLOW[case])
        check_others_are_served(patient_service)
        for sock in socks:
            sock.sendall(SLOW[case][:1] and b" ")
        check_others_are_served(patient_service)


@pytest.mark.sec(65)
def test_clients_that_do_not_read_delay_no_others(patient_service: Service) -> None:
    """Responses that no client reads delay no other client."""
    host, _, port = patient_service.base_url.removeprefix("http://").partition(":")
    with contextlib.ExitStack() as stack:
        for _ in range(MORE_THAN_THREADS):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            sock.connect((host, int(port)))
            sock.sendall(head(b"GET /openapi.yaml HTTP/1.1") * 40)
        check_others_are_served(patient_service)


@pytest.mark.sec(65)
@pytest.mark.parametrize("silent", [1, 30])
def test_idle_connections_do_not_stop_new_ones(tmp_path: Path, silent: int) -> None:
    """At the limit of connections, each new one closes the one that is idle for longest."""
    limit = 50
    with (
        running_service(tmp_path, TOKENSVC_MAX_CONNECTIONS=str(limit)) as crowded,
        contextlib.ExitStack() as stack,
    ):
        socks = [stack.enter_context(connect(crowded.base_url)) for _ in range(limit)]
        for sock in socks:
            sock.sendall(head())
            assert b" 200 OK" in sock.recv(4096)
        for _ in range(silent):
            stack.enter_context(connect(crowded.base_url))
        check_others_are_served(crowded)
        assert socks[0].recv(1) == b""
        socks[-1].sendall(head())
        assert b" 200 OK" in socks[-1].recv(4096)


@pytest.mark.sec(51)
def test_clients_that_do_not_close_occupy_no_thread(patient_service: Service) -> None:
    """The service closes its side."""
    with contextlib.ExitStack() as stack:
        socks = [
            stack.enter_context(connect(patient_service.base_url)) for _ in range(MORE_THAN_THREADS)
        ]
        for sock in socks:
            sock.sendall(head(b"GET /nowhere HTTP/1.1", b"Connection: close") + b"more")
        for sock in socks:
            (response,) = parse(read_to_end(sock))
            assert response.status == 404


@pytest.mark.sec(51)
def test_stopping_worker_drops_an_unfinished_request(tmp_path: Path) -> None:
    """Before its deadline."""
    with (
        service_with_deadlines(tmp_path, 3600.0) as stopping,
        connect(stopping.base_url) as sock,
    ):
        sock.sendall(SLOW["half a body"])
        assert Client(stopping.base_url).get("/healthz").status == 200
        stopping.process.send_signal(signal.SIGTERM)
        # 408, or nothing if the signal came before the request was seen to be unfinished.
        assert all(response.status == 408 for response in parse(read_to_end(sock)))


@pytest.mark.sec(51)
def test_client_that_stays_after_408_is_disconnected(hasty_service: Service) -> None:
    """The service closes both directions."""
    with connect(hasty_service.base_url) as sock:
        sock.sendall(SLOW["half a head"])
        read_to_end(sock)
        with pytest.raises(ConnectionError):
            while True:
                sock.sendall(b"X")


@pytest.fixture(scope="module")
def hasty_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Yield a service with deadlines of a quarter of a second."""
    with service_with_deadlines(tmp_path_factory.mktemp("hasty"), 0.25) as running:
        yield running


@pytest.mark.sec(51, 65)
@pytest.mark.parametrize(
    ("case", "status"),
    [
        ("half a request line", 408),
        ("half a head", 408),
        ("half a body", 408),
        ("half a chunk", 400),
    ],
)
def test_late_request_gets_a_problem_and_ends_the_connection(
    hasty_service: Service, case: str, status: int
) -> None:
    (response,) = converse(hasty_service.base_url, SLOW[case])
    assert response.status == status
    check_problem(response)


@pytest.mark.sec(51)
def test_slow_bytes_do_not_extend_the_deadline(hasty_service: Service) -> None:
    with connect(hasty_service.base_url) as sock:
        sock.settimeout(0.05)
        received = b""
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                if received:
                    break
                sock.sendall(b"X")
                with contextlib.suppress(TimeoutError):
                    received = sock.recv(65536)
        (response,) = parse(received)
    assert response.status == 408
