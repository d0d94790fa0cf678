"""Sends responses without waiting for slow clients, and decides what their connections do next."""

import threading
from collections.abc import Callable

from tokensvc.server.connection import Connection
from tokensvc.server.connections import Connections
from tokensvc.server.responder import ResponseBytes


class ResponseSender:
    """
    Sends responses on connections.

    Args:
        connections: Open connections.
        mutex: Lock of the connections.
        on_next_request: Function that gets a connection which already has bytes of another
            request. The mutex is held.
    """

    def __init__(
        self,
        connections: Connections,
        mutex: threading.Lock,
        on_next_request: Callable[[Connection], None],
    ) -> None:
        self._connections = connections
        self._mutex = mutex
        self._on_next_request = on_next_request

    def send(self, connection: Connection, response: ResponseBytes) -> None:
        """Send a response. If the socket does not accept all of it, `resume` sends the rest."""
        connection.unsent, connection.keep = response
        is_sent = self._send(connection)
        with self._mutex:
            if is_sent is None:
                self._connections.close(connection)
            elif is_sent:
                self._end(connection)
            else:
                self._connections.wait_for_reader(connection)

    def send_interim(self, connection: Connection, data: bytes) -> None:
        """Send an interim response (1xx), then wait for the body of the request."""
        connection.unsent = data
        is_sent = self._send(connection)
        with self._mutex:
            if is_sent:
                self._connections.wait(connection, self._connections.bodies)
            else:
                self._connections.close(connection)

    def resume(self, connection: Connection) -> None:
        """Send more; hold the mutex, because any thread may close the slowest connection."""
        before = len(connection.unsent)
        is_sent = self._send(connection)
        if is_sent is None:
            self._connections.close(connection)
            return
        self._connections.count_sent(before - len(connection.unsent))
        if is_sent:
            self._end(connection)

    @staticmethod
    def _send(connection: Connection) -> bool | None:
        """Return whether nothing is left to send; `None` if the connection is broken."""
        try:
            return connection.send()
        except OSError:
            return None

    def _end(self, connection: Connection) -> None:
        """Close the connection after a response, or wait for its next request."""
        if not connection.keep:
            if connection.end_sending():
                self._connections.wait(connection, self._connections.lingering)
            else:
                self._connections.close(connection)
        elif connection.received or connection.has_ended:
            self._on_next_request(connection)
        else:
            self._connections.wait(connection, self._connections.idle)
