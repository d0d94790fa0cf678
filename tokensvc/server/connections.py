"""
The open connections of a worker, what each one waits for, and the sending of responses.

A connection is in one wait list at a time, which has the deadline. `loop` decides what happens to
it.
"""

import os
import select
import socket
import threading
import time
from collections import deque
from typing import Any

import structlog

from tokensvc.server.connection import Connection, Sent, WaitList
from tokensvc.server.responder import ResponseBytes

HEAD_SECONDS = 10.0
"""Time for the head of a request, from its first byte."""
BODY_SECONDS = 10.0
"""Time for the body, from the end of the head."""
QUEUE_SECONDS = 3.0
"""Time that a complete request waits for a thread."""
SEND_SECONDS = 10.0
"""Time for the client to read a response that the socket did not accept immediately."""
LINGER_SECONDS = 2.0
"""Time for a client to close its side after the server has closed its own."""
MAX_UNSENT = 16 * 1024 * 1024
"""Bytes of responses that clients have not read, in one worker."""

_log = structlog.get_logger(__name__)


class Connections:
    """
    The connections of a worker by file descriptor, in six wait lists.

    Several threads use them: hold `mutex` to call a method, except those that send.

    Attributes:
        epoll: Poller in which the sockets are registered.
        idle: Connections without a request.
        heads: Connections that have sent a part of a head.
        bodies: Connections that have sent a head and a part of the body.
        busy: Connections with a request that runs or waits for a thread.
        sending: Connections whose client has not read the whole response.
        lingering: Connections whose client must still close its side.
        ready: Connections that have bytes of another request, or are overdue.
    """

    def __init__(self, *, max_connections: int, keepalive: float) -> None:
        self.mutex = threading.Lock()
        self.idle = WaitList(keepalive)
        self.heads = WaitList(HEAD_SECONDS)
        self.bodies = WaitList(BODY_SECONDS)
        self.busy = WaitList(QUEUE_SECONDS)
        self.sending = WaitList(SEND_SECONDS)
        self.lingering = WaitList(LINGER_SECONDS)
        self._lists = (self.idle, self.heads, self.bodies, self.busy, self.sending, self.lingering)
        self.ready: deque[Connection] = deque()
        self.epoll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.epoll.register(self._wakeup, select.EPOLLIN | select.EPOLLET)  # need not be read
        self._max_connections = max_connections
        self._is_full = False
        self._by_fd: dict[int, Connection] = {}

    def __len__(self) -> int:
        return len(self._by_fd)

    def get(self, fd: int) -> Connection | None:
        """Return the connection of a file descriptor."""
        return self._by_fd.get(fd)

    def wake(self) -> None:
        """End the current poll, or the next one."""
        os.eventfd_write(self._wakeup, 1)

    # Accept and close

    def add(self, sock: socket.socket, client: Any, server: Any) -> None:
        """Wait for the first request of a new connection; close it if there is no room."""
        if len(self._by_fd) >= self._max_connections and not self.close_one():
            sock.close()
            return
        connection = Connection(sock, client, server, self.idle)
        self._by_fd[connection.fd] = connection
        self.wait(connection, self.idle)

    def close_one(self) -> bool:
        """
        Close the least useful connection, because the next one has no room.

        Log once until half of the room is free again. Return false if all have a request that runs.
        """
        if not self._is_full:
            self._is_full = True
            _log.warning(
                "connections_full",
                connections=len(self),
                hint="the least useful ones are closed: raise max_connections, or the limit of "
                "open files",
            )
        receiving = min(self.heads, self.bodies, key=WaitList.deadline)
        for waiting in (self.lingering, self.idle, receiving, self.sending):
            connection = waiting.first()
            if connection is not None:
                self.close(connection, abort=waiting is self.sending)
                return True
        return False

    def close(self, connection: Connection, *, abort: bool = False) -> None:
        """Close a connection; `abort` discards what the kernel has not delivered."""
        connection.wait_list.pop(connection, None)
        del self._by_fd[connection.fd]
        connection.close(abort=abort)
        if self._is_full and len(self) <= self._max_connections // 2:
            self._is_full = False
            _log.info("connections_free", connections=len(self))

    # Wait

    def move(self, connection: Connection, wait_list: WaitList) -> None:
        """Put a connection into a list, with a new deadline."""
        connection.wait_list.pop(connection, None)
        connection.wait_list = wait_list
        wait_list[connection] = time.monotonic() + wait_list.seconds

    def wait(self, connection: Connection, wait_list: WaitList) -> None:
        """Poll a connection. If it is already in the list, its deadline stays."""
        if connection not in wait_list:
            self.move(connection, wait_list)
        events = select.EPOLLOUT if wait_list is self.sending else select.EPOLLIN
        if connection.events != events:
            update = self.epoll.modify if connection.events else self.epoll.register
            update(connection.fd, events)
            connection.events = events

    def stop_polling(self, connection: Connection) -> None:
        """Ignore the events of a connection until it waits again."""
        self.epoll.unregister(connection.fd)
        connection.events = 0

    def advance_later(self, connection: Connection) -> None:
        """Let the leader handle what a connection has received."""
        self.move(connection, self.busy)
        self.ready.append(connection)
        self.wake()

    def deadline(self) -> float:
        """Return the earliest deadline, on the monotonic clock; infinity if none waits."""
        return min(waiting.deadline() for waiting in self._lists)

    def take_due(self, now: float, *lists: WaitList) -> list[tuple[Connection, WaitList]]:
        """Remove the connections whose deadline has passed, from some lists or from all."""
        return [
            (connection, waiting)
            for waiting in lists or self._lists
            for connection in waiting.take_due(now)
        ]

    # Send

    def send(self, connection: Connection, response: ResponseBytes) -> None:
        """Send a response, without the mutex. What the socket does not accept, `resume` sends."""
        connection.unsent, connection.keep = response
        sent = connection.send()
        with self.mutex:
            self._continue(connection, sent)
            while sent is Sent.PART and self._unsent > MAX_UNSENT:
                self.close(next(iter(self.sending)), abort=True)

    def send_interim(self, connection: Connection, data: bytes) -> None:
        """Send an interim response (1xx), without the mutex, then wait for the request's body."""
        connection.unsent = data
        sent = connection.send()
        with self.mutex:
            if sent is Sent.ALL:
                self.wait(connection, self.bodies)
            else:
                self.close(connection)

    def resume(self, connection: Connection) -> None:
        """Send more: with the mutex, because any thread may close the slowest connection."""
        self._continue(connection, connection.send())

    def _continue(self, connection: Connection, sent: Sent) -> None:
        """Wait until the client reads more, or sends its next request, or close the connection."""
        if sent is Sent.PART:
            self.wait(connection, self.sending)
        elif sent is Sent.BROKEN or not (connection.keep or connection.end_sending()):
            self.close(connection)
        elif not connection.keep:
            self.wait(connection, self.lingering)
        elif connection.received or connection.has_ended:
            self.advance_later(connection)
        else:
            self.wait(connection, self.idle)

    @property
    def _unsent(self) -> int:
        return sum(len(connection.unsent) for connection in self.sending)
