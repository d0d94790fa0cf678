"""HTTP as bytes on a socket, for requests that no HTTP client sends."""

import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from testing.response import Response

MARKER = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""A request that ends a connection. All earlier requests have a response when it has one."""
TIMEOUT = 20.0


def connect(base_url: str) -> socket.socket:
    """Open a connection to the service."""
    address = urlsplit(base_url)
    return socket.create_connection((address.hostname, address.port), timeout=TIMEOUT)


def converse(base_url: str, data: bytes) -> list[Response]:
    """Send the bytes and return all responses until the service closes the connection."""
    with connect(base_url) as sock:
        sock.sendall(data)
        return list(parse(read_to_end(sock)))


def read_to_end(sock: socket.socket) -> bytes:
    """Read until the service closes the connection."""
    received = b""
    while True:
        try:
            data = sock.recv(65536)
        except ConnectionResetError:
            return received
        if not data:
            return received
        received += data


def parse(data: bytes) -> Iterator[Response]:
    """Yield the responses. Fail on bytes that belong to none."""
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version == "HTTP/1.1", status_line
        if status == "100":
            continue
        fields = dict(line.split(": ", 1) for line in lines)
        length = int(fields.get("Content-Length", "0"))
        assert len(data) >= length, (status_line, data)
        yield Response(int(status), data[:length], fields)
        data = data[length:]
