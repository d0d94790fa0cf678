"""
The loop over all connections of a worker: accept, receive, run, send, and end what is overdue.

One thread at a time leads it (`tokensvc.server.lead`). A connection belongs to the leader, except
while its request runs or is queued: then it belongs to the thread that runs it, which gives it back
under the mutex. A connection that gets an event meanwhile is unregistered until then.
"""

import errno
import math
import os
import re
import select
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine

from tokensvc.server import connection as limits
from tokensvc.server.call import Call, NoThread, RequestTimeout
from tokensvc.server.connection import Connection, Table
from tokensvc.server.framing import MAX_HEAD, Progress
from tokensvc.server.lead import Lead, Member

MAX_UNSENT = 16 * 1024 * 1024
"""Bytes of responses that clients have not read, in one worker."""
STOP_SECONDS = 2.0
"""For clients to send another request on a kept-alive connection to a worker that stops."""

_LONGEST_POLL = 1.0
_LONGEST_POLL_OF_STOP = 0.1
_PROBE = re.compile(rb"(?:\r\n)?(?:GET|HEAD) /(?:healthz|readyz) ")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TOO_LONG = {
    Progress.LINE_TOO_LONG: LimitRequestLine(MAX_HEAD, MAX_HEAD),
    Progress.HEAD_TOO_LONG: LimitRequestHeaders("no end of the head"),
}


class Loop:
    """
    All connections of a worker.

    Args:
        listeners: Non-blocking sockets that listen.
        call: Makes responses.
        lead: Says whether the leader may run a request.
        max_connections: Number of connections that are kept open.
        keepalive: Seconds for which a connection may be idle.
        count: Is called for each request before it runs.

    Attributes:
        steps: Number of rounds so far: it grows while there is a leader that moves.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        call: Call,
        lead: Lead[Connection],
        *,
        max_connections: int,
        keepalive: float,
        count: Callable[[], None],
    ) -> None:
        self.steps = 0
        self._call = call
        self._lead = lead
        self._max_connections = max_connections
        self._count = count
        self._mutex = threading.Lock()
        self._connections: dict[int, Connection] = {}
        self._ready: deque[Connection] = deque()  # have bytes of another request, or are overdue
        self._unsent = 0
        self._idle = Table(keepalive)
        self._heads = Table(limits.HEAD_SECONDS)
        self._bodies = Table(limits.BODY_SECONDS)
        self._busy = Table(limits.QUEUE_SECONDS)
        self._sending = Table(limits.SEND_SECONDS)
        self._lingering = Table(limits.LINGER_SECONDS)
        self._tables = (
            self._idle,
            self._heads,
            self._bodies,
            self._busy,
            self._sending,
            self._lingering,
        )
        self._is_stopping = False
        self._last_call = float("inf")
        self._epoll = select.epoll()
        self._wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wakeup, select.EPOLLIN)
        self._listeners = {sock.fileno(): (sock, sock.getsockname()) for sock in listeners}
        for fd in self._listeners:
            self._epoll.register(fd, select.EPOLLIN)

    def lead(self, member: Member[Connection]) -> None:
        """Lead until the lead has passed to another thread, or the last connection of a stop."""
        while self._step(member):
            pass

    def run(self, connection: Connection) -> None:
        """Run the request of a connection, in any thread."""
        request, whole = connection.request
        data, keep = self._call.respond(
            request,
            connection.client,
            connection.server,
            whole=whole,
            keep=not self._is_stopping,
        )
        self._respond(connection, data, keep=keep)

    def stop(self) -> None:
        """Accept nothing more, finish what was received, then end `lead`; from any thread."""
        self._is_stopping = True
        self._wake()

    def _wake(self) -> None:
        os.eventfd_write(self._wakeup, 1)

    def _step(self, member: Member[Connection]) -> bool:
        """Do what is due and what can be done; False if the lead is lost or all is done."""
        self.steps += 1
        patience = self._expire()
        for fd, _ in self._epoll.poll(0 if self._ready else patience):
            connection = self._connections.get(fd)
            if connection is not None:
                if not self._on_event(connection, member):
                    return False
            elif fd in self._listeners:
                self._accept(*self._listeners[fd])
            elif fd == self._wakeup:
                os.eventfd_read(fd)
        for _ in range(len(self._ready)):
            if not self._advance(self._ready.popleft(), member):
                return False
        return not self._is_stopping or self._continue_stop()

    # Accept, and make room

    def _accept(self, listener: Any, server: Any) -> bool:
        """Accept one connection; False if none waits."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                with self._mutex:
                    self._make_room()
            return False
        with self._mutex:
            if len(self._connections) >= self._max_connections and not self._make_room():
                sock.close()
                return True
            connection = Connection(sock, client, server, self._idle)
            self._connections[connection.fd] = connection
            self._enter(connection, self._idle)
            self._watch(connection, select.EPOLLIN)
        return True

    def _make_room(self) -> bool:
        """Close the connection that is of least use; False if each has a request that runs."""
        receiving = min(self._heads, self._bodies, key=Table.deadline)
        for table in (self._lingering, self._idle, receiving, self._sending):
            connection = table.first()
            if connection is not None:
                self._close(connection, abort=table is self._sending)
                return True
        return False

    # Receive

    def _on_event(self, connection: Connection, member: Member[Connection]) -> bool:
        with self._mutex:
            if self._connections.get(connection.fd) is not connection:
                return True  # another thread has just closed it
            if connection.table is self._busy:
                self._epoll.unregister(connection.fd)
                connection.events = 0
                return True
            if connection.table is self._sending:
                self._continue_sending(connection)
                return True
        try:
            if connection.table is self._lingering:
                if connection.discard():
                    self._close_locked(connection)
            else:
                connection.receive()
                return self._advance(connection, member)
        except OSError:
            self._close_locked(connection)
        return True

    def _advance(self, connection: Connection, member: Member[Connection]) -> bool:
        """Go on with what a connection has received; False if the lead is lost."""
        if not connection.received:
            with self._mutex:
                if connection.has_ended:
                    self._close(connection)
                else:
                    self._await(connection, self._idle)
            return True
        progress = connection.measure()
        if progress is Progress.CONTINUE and not connection.has_ended:
            self._invite_body(connection)
        elif progress in (Progress.MORE, Progress.CONTINUE):
            if connection.has_ended or connection.is_overdue:
                return self._start(connection, member, whole=False)
            is_body = connection.framing.head_length
            with self._mutex:
                self._await(connection, self._bodies if is_body else self._heads)
        elif progress in _TOO_LONG:
            self._respond(connection, *self._call.refuse(_TOO_LONG[progress], connection.client))
        else:
            return self._start(connection, member, whole=progress is Progress.WHOLE)
        return True

    def _invite_body(self, connection: Connection) -> None:
        """Send `100 Continue`, unless the head alone will be refused."""
        head = bytes(connection.received[: connection.framing.head_length])
        refusal = self._call.refuse_head(head, connection.client)
        if refusal is not None:
            self._respond(connection, *refusal)
            return
        connection.unsent = _CONTINUE
        try:
            is_sent = connection.send()
        except OSError:
            is_sent = False
        with self._mutex:
            if is_sent:
                self._await(connection, self._bodies)
            else:
                self._close(connection)

    # Run and send

    def _start(self, connection: Connection, member: Member[Connection], *, whole: bool) -> bool:
        """Run a request or queue it; False if the lead is lost meanwhile."""
        connection.take(whole=whole)
        self._count()
        with self._mutex:
            self._enter(connection, self._busy)
        if self._lead.begin(connection):
            self.run(connection)
            return self._lead.end(member)
        if _PROBE.match(connection.request[0]) and self._lead.withdraw(connection):
            # From memory: `may_block` returns False in this thread.
            self.run(connection)
        return True

    def _respond(self, connection: Connection, data: bytes, keep: bool) -> None:
        connection.keep = keep
        connection.unsent = data
        try:
            is_sent = connection.send()
        except OSError:
            self._close_locked(connection)
            return
        with self._mutex:
            if is_sent:
                self._end_response(connection)
                return
            self._unsent += len(connection.unsent)
            self._await(connection, self._sending, select.EPOLLOUT)
            while self._unsent > MAX_UNSENT and (slowest := self._sending.first()):
                self._close(slowest, abort=True)

    def _continue_sending(self, connection: Connection) -> None:
        """Send more; with the mutex, because any thread may drop the slowest reader."""
        before = len(connection.unsent)
        try:
            is_sent = connection.send()
        except OSError:
            self._close(connection)
            return
        self._unsent -= before - len(connection.unsent)
        if is_sent:
            self._end_response(connection)

    def _end_response(self, connection: Connection) -> None:
        """Go on after a response that was sent; with the mutex."""
        if not connection.keep:
            if connection.end_sending():
                self._await(connection, self._lingering)
            else:
                self._close(connection)
        elif connection.received or connection.has_ended:
            self._enter(connection, self._busy)
            self._ready.append(connection)
            self._wake()
        else:
            self._await(connection, self._idle)

    # What a connection waits for; each with the mutex

    def _enter(self, connection: Connection, table: Table) -> None:
        connection.table.pop(connection, None)
        connection.table = table
        table[connection] = time.monotonic() + table.seconds

    def _await(self, connection: Connection, table: Table, events: int = select.EPOLLIN) -> None:
        if connection.table is not table or connection not in table:
            self._enter(connection, table)
        self._watch(connection, events)

    def _watch(self, connection: Connection, events: int) -> None:
        if connection.events == events:
            return
        if connection.events:
            self._epoll.modify(connection.fd, events)
        else:
            self._epoll.register(connection.fd, events)
        connection.events = events

    def _close(self, connection: Connection, *, abort: bool = False) -> None:
        if connection.table is self._sending:
            self._unsent -= len(connection.unsent)
        connection.table.pop(connection, None)
        del self._connections[connection.fd]
        connection.close(abort=abort)

    def _close_locked(self, connection: Connection) -> None:
        with self._mutex:
            self._close(connection)

    # Deadlines and stop

    def _expire(self) -> float:
        """End what is overdue, and return the seconds until something may be."""
        now = time.monotonic()
        due: list[tuple[Connection, Table]] = []
        with self._mutex:
            earliest = min(table.deadline() for table in self._tables)
            if earliest <= now:
                due = [(late, table) for table in self._tables for late in table.take_due(now)]
                earliest = min(table.deadline() for table in self._tables)
        for connection, table in due:
            self._end_wait(connection, table)
        longest = _LONGEST_POLL_OF_STOP if self._is_stopping else _LONGEST_POLL
        return min(max(earliest - now, 0.0), longest)

    def _end_wait(self, connection: Connection, table: Table) -> None:
        """End a wait whose time is over; the connection has been removed from its table."""
        if table is self._busy:  # its thread may have finished meanwhile
            if self._lead.withdraw(connection):
                self._respond(connection, *self._call.refuse(NoThread(), connection.client))
        elif table is self._bodies and connection.framing.is_streamed:
            connection.is_overdue = True  # the parser refuses what has arrived of it
            with self._mutex:
                self._enter(connection, self._busy)
            self._ready.append(connection)
        elif table is self._heads or table is self._bodies:
            self._respond(connection, *self._call.refuse(RequestTimeout(), connection.client))
        else:
            with self._mutex:
                self._close(connection, abort=table is self._sending)

    def _continue_stop(self) -> bool:
        """Return whether a connection is still open in a worker that stops."""
        now = time.monotonic()
        if self._listeners:
            self._last_call = now + STOP_SECONDS
            for fd, (listener, server) in self._listeners.items():
                self._epoll.unregister(fd)
                while self._accept(listener, server):
                    pass
                listener.close()
            self._listeners = {}
        elif now >= self._last_call:
            with self._mutex:
                # A late response may have said keep-alive: its client gets its time too.
                idle_for_long = now + self._idle.seconds - STOP_SECONDS
                ends = (
                    (self._idle, idle_for_long),
                    (self._heads, math.inf),
                    (self._bodies, math.inf),
                )
                waiting = [(late, table) for table, end in ends for late in table.take_due(end)]
            for connection, table in waiting:
                self._end_wait(connection, table)
        if self._connections:
            return True
        self._lead.stop()
        return False
