"""The socket and the threads of a double."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Listener(ThreadingHTTPServer):
    """
    A server that waits without polling, so that many doubles cost nothing and stop immediately.

    Args:
        host: Address to listen on.
        handler: Class of the handlers, each with a thread of its own.
    """

    daemon_threads = True
    block_on_close = False  # a call that hangs must not delay the end of a test
    request_queue_size = 128

    def __init__(self, host: str, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((host, 0), handler)
        self._is_open = True
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def start(self) -> None:
        """Accept connections in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, if it has not been done. Open connections stay."""
        if not self._is_open:
            return
        self._is_open = False
        self.socket.shutdown(socket.SHUT_RDWR)  # ends the wait
        self._thread.join()
        self.server_close()

    def _accept(self) -> None:
        while self._is_open:
            self.handle_request()
