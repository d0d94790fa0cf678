"""Oversized and malformed requests are refused."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from testing.http_client import Client
from testing.raw import MARKER, connect, converse, parse, read_to_end
from testing.service import Service, running_service
from tests.security.test_http_smuggling import check_problem


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running
        assert not [line for line in running.log_lines() if "exception" in line]


def head(line: bytes = b"GET /healthz HTTP/1.1", *fields: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: localhost", *fields, b"", b""])


REFUSED = {
    "a long target": (head(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "a long query": (head(b"GET /healthz?" + b"a" * 9000 + b" HTTP/1.1"), 414),
    "an endless request line": (b"G" * 200_000, 414),
    "a long field": (head(b"GET /healthz HTTP/1.1", b"X: " + b"a" * 100_000), 431),
    "many fields": (head(b"GET /healthz HTTP/1.1", *[b"X: a"] * 1000), 431),
    "an endless field": (b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 3_000_000, 431),
    "an expectation": (head(b"GET /healthz HTTP/1.1", b"Expect: tea"), 417),
    "no host": (b"GET /v1/token HTTP/1.1\r\n\r\n", 400),
    "an empty host": (b"GET /v1/token HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "no version": (b"GET /healthz\r\n\r\n", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/3.1": (head(b"GET /healthz HTTP/3.1"), 400),
    "a lower-case method": (head(b"get /healthz HTTP/1.1"), 400),
    "a space in the method": (head(b"GE T /healthz HTTP/1.1"), 400),
    "a space in the target": (head(b"GET /health z HTTP/1.1"), 400),
    "bytes in the target": (head(b"GET /\xc3\xa9 HTTP/1.1"), 400),
    "an asterisk": (head(b"GET * HTTP/1.1"), 400),
    "an authority": (head(b"GET localhost:80 HTTP/1.1"), 400),
    "another host in the target": (head(b"GET http://evil.example/v1/token HTTP/1.1"), 400),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n", 400),
}


@pytest.mark.sec(51, 53, 56)
@pytest.mark.parametrize("case", REFUSED)
def test_malformed_or_too_long_head_gets_a_problem(service: Service, case: str) -> None:
    data, status = REFUSED[case]
    responses = converse(service.base_url, data + MARKER)
    assert responses[0].status == status
    check_problem(responses[0])


@pytest.mark.sec(56)
@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"TRACE /v1/token", 405),
        (b"TRACE /nowhere", 404),
        (b"CONNECT /v1/token", 405),
        (b"CONNECT evil.example:443", 400),
    ],
)
def test_trace_and_connect_are_refused(service: Service, line: bytes, status: int) -> None:
    """Nothing is echoed or tunnelled."""
    data = head(line + b" HTTP/1.1", b"Authorization: Bearer s3cret", b"Connection: close")
    (response,) = converse(service.base_url, data)
    assert response.status == status
    check_problem(response)
    assert b"s3cret" not in response.body


@pytest.mark.sec(56)
@pytest.mark.parametrize("path", ["//v1/token", "/v1%2ftoken", "/v1%2Ftoken", "/%2Fv1/token"])
def test_path_that_a_proxy_could_read_in_another_way_gets_404(service: Service, path: str) -> None:
    """A rule of the proxy for `/v1/token` would not see it. A query may have encoded slashes."""
    refused, served = converse(
        service.base_url,
        head(f"GET {path} HTTP/1.1".encode())
        + head(b"GET /healthz?next=a%2Fb HTTP/1.1", b"Connection: close"),
    )
    assert (refused.status, served.status) == (404, 200)
    check_problem(refused)


@pytest.mark.parametrize("version", [b"HTTP/1.0", b"HTTP/1.1"])
def test_response_states_http_1_1(service: Service, version: bytes) -> None:
    """The version of the server, not of the request (RFC 9110 section 2.5)."""
    with connect(service.base_url) as sock:
        sock.sendall(
            b"GET /healthz " + version + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        assert read_to_end(sock).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.sec(51)
def test_endless_body_gets_413(service: Service) -> None:
    """20 MB in chunks are refused after 16 KiB, and the client receives the response."""
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    with connect(service.base_url) as sock:
        sock.sendall(
            b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000_000 // 0x1000):
                sock.sendall(chunk)
        (response,) = parse(read_to_end(sock))
    assert response.status == 413
    check_problem(response)


@pytest.mark.parametrize("size", [9_000, 30_000])
def test_too_long_token_gets_401(service: Service, size: int) -> None:
    """It is not a protocol error."""
    bearer = {"Authorization": "Bearer " + "a" * size}
    assert Client(service.base_url).get("/v1/token", headers=bearer).code == "credentials_invalid"


@pytest.mark.sec(53)
@pytest.mark.parametrize("line", [b"GET /healthz HTTP/1.1", b"GET /docs HTTP/1.1", b"nonsense"])
def test_no_response_names_a_software_version(service: Service, line: bytes) -> None:
    response = converse(service.base_url, head(line) + MARKER)[0]
    assert response.headers.get("Server", "gunicorn") == "gunicorn"
    assert not response.headers.keys() & {"X-Powered-By", "Via"}


def test_request_in_many_packets_is_read(service: Service) -> None:
    data = head(b"POST /nowhere HTTP/1.1", b"Content-Length: 4") + b"{  }" + MARKER
    with connect(service.base_url) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), 7):
            sock.sendall(data[start : start + 7])
        responses = list(parse(read_to_end(sock)))
    assert [response.status for response in responses] == [404, 200]


def test_expect_continue_gets_100(service: Service) -> None:
    with connect(service.base_url) as sock:
        sock.sendall(head(b"POST /nowhere HTTP/1.1", b"Content-Length: 2", b"Expect: 100-continue"))
        assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        sock.sendall(b"{}" + MARKER)
        responses = list(parse(read_to_end(sock)))
    assert [response.status for response in responses] == [404, 200]


@pytest.mark.sec(58)
def test_refused_head_is_not_logged(service: Service) -> None:
    """It can contain a credential: the log has only the kind of error."""
    converse(service.base_url, head(b"GET /healthz HTTP/1.1", b"Authorization Bearer s3cret-value"))
    assert "s3cret" not in service.log_path.read_text()
    (line,) = [line for line in service.log_lines() if line.get("reason") == "InvalidHeader"][-1:]
    assert (line["event"], line["status"], line["code"]) == ("request", 400, "malformed_request")
