"""
The open connections of a worker, and what each of them waits for.

A connection is in one wait list at a time, which has the deadline. `loop` decides what happens to
it. Several threads use the lists: call each method with the loop's mutex held.
"""

import math
import select
import time
from collections.abc import Iterable

from tokensvc.server.connection import Connection, WaitList

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


class Connections:
    """
    The connections of a worker by file descriptor, in six wait lists.

    Args:
        epoll: Poller in which the sockets are registered.
        max_connections: Maximum number of open connections.
        keepalive: Seconds for which a connection may be idle.

    Attributes:
        idle: Connections without a request.
        heads: Connections that have sent a part of a head.
        bodies: Connections that have sent a head and a part of the body.
        busy: Connections with a request that runs or waits for a thread.
        sending: Connections whose client has not read the whole response.
        lingering: Connections whose client must still close its side.
    """

    def __init__(self, epoll: select.epoll, *, max_connections: int, keepalive: float) -> None:
        self.idle = WaitList(keepalive)
        self.heads = WaitList(HEAD_SECONDS)
        self.bodies = WaitList(BODY_SECONDS)
        self.busy = WaitList(QUEUE_SECONDS)
        self.sending = WaitList(SEND_SECONDS)
        self.lingering = WaitList(LINGER_SECONDS)
        self._lists = (
            self.idle,
            self.heads,
            self.bodies,
            self.busy,
            self.sending,
            self.lingering,
        )
        self._epoll = epoll
        self._max_connections = max_connections
        self._by_fd: dict[int, Connection] = {}
        self._unsent = 0

    def __len__(self) -> int:
        return len(self._by_fd)

    def get(self, fd: int) -> Connection | None:
        """Return the connection of a file descriptor."""
        return self._by_fd.get(fd)

    def add(self, connection: Connection) -> None:
        """Wait for the first request of a new connection."""
        self._by_fd[connection.fd] = connection
        self.wait(connection, self.idle)

    def has_room(self) -> bool:
        """Return whether a new connection fits, if necessary after another one was closed."""
        return len(self._by_fd) < self._max_connections or self.close_one()

    def close_one(self) -> bool:
        """Close the connection that is of least use; False if all have a request that runs."""
        receiving = min(self.heads, self.bodies, key=WaitList.deadline)
        for waiting in (self.lingering, self.idle, receiving, self.sending):
            connection = waiting.first()
            if connection is not None:
                self.close(connection, abort=waiting is self.sending)
                return True
        return False

    def move(self, connection: Connection, wait_list: WaitList) -> None:
        """Put a connection into a list, with a new deadline."""
        connection.wait_list.pop(connection, None)
        connection.wait_list = wait_list
        wait_list[connection] = time.monotonic() + wait_list.seconds

    def wait(
        self, connection: Connection, wait_list: WaitList, events: int = select.EPOLLIN
    ) -> None:
        """Poll a connection for events. If it is already in the list, its deadline stays."""
        if connection.wait_list is not wait_list or connection not in wait_list:
            self.move(connection, wait_list)
        if connection.events == events:
            return
        if connection.events:
            self._epoll.modify(connection.fd, events)
        else:
            self._epoll.register(connection.fd, events)
        connection.events = events

    def stop_polling(self, connection: Connection) -> None:
        """Ignore the events of a connection until it waits again."""
        self._epoll.unregister(connection.fd)
        connection.events = 0

    def wait_for_reader(self, connection: Connection) -> None:
        """Wait until the client reads more; close the slowest clients over `MAX_UNSENT`."""
        self._unsent += len(connection.unsent)
        self.wait(connection, self.sending, select.EPOLLOUT)
        while self._unsent > MAX_UNSENT and (slowest := self.sending.first()):
            self.close(slowest, abort=True)

    def count_sent(self, length: int) -> None:
        """Record that a client in `sending` has read some bytes."""
        self._unsent -= length

    def close(self, connection: Connection, *, abort: bool = False) -> None:
        """Close a connection; `abort` discards what the kernel has not delivered."""
        if connection.wait_list is self.sending:
            self._unsent -= len(connection.unsent)
        connection.wait_list.pop(connection, None)
        del self._by_fd[connection.fd]
        connection.close(abort=abort)

    def deadline(self) -> float:
        """Return the earliest deadline, on the monotonic clock; infinity if none waits."""
        return min(waiting.deadline() for waiting in self._lists)

    def take_due(self, now: float) -> list[tuple[Connection, WaitList]]:
        """Remove the connections whose deadline has passed; return each with its list."""
        return _take_due(self._lists, now)

    def take_incomplete(self, *, idle_since: float) -> list[tuple[Connection, WaitList]]:
        """
        Remove the connections without a complete request; return each with its list.

        Args:
            idle_since: Latest start of the wait of an idle connection, on the monotonic clock.
        """
        idle = _take_due((self.idle,), idle_since + self.idle.seconds)
        return idle + _take_due((self.heads, self.bodies), math.inf)


def _take_due(lists: Iterable[WaitList], now: float) -> list[tuple[Connection, WaitList]]:
    return [(connection, waiting) for waiting in lists for connection in waiting.take_due(now)]
