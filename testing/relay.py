"""A TCP port in front of a Unix socket, because the test wheel's PostgreSQL has no TCP port."""

import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator

_TLS_REQUEST = 8
"""Length of PostgreSQL's request for TLS."""


@contextlib.contextmanager
def relayed(socket_path: str, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """
    Relay connections to a Unix socket until the block ends. Yield the port on 127.0.0.1.

    Args:
        tls: TLS of PostgreSQL, which the test wheel lacks too: the client asks for it first.
    """

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.ExitStack() as stack:
                client = self.request
                if tls is not None:
                    client.recv(_TLS_REQUEST, socket.MSG_WAITALL)
                    client.sendall(b"S")
                    try:
                        client = stack.enter_context(tls.wrap_socket(client, server_side=True))
                    except ssl.SSLError:  # the client does not trust the certificate
                        return
                target = stack.enter_context(socket.socket(socket.AF_UNIX))
                target.connect(socket_path)
                back = threading.Thread(target=_copy, args=(target, client), daemon=True)
                back.start()
                _copy(client, target)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until one side closes the connection, then close it for both."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for end in (source, target):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
