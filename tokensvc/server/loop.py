"""
The loop over all connections of a worker: accept, receive, run requests, end overdue waits.

One thread at a time leads it (`lead`). Only the leader uses a connection, with one exception: while
its request runs, the thread that runs it does. Then events of the connection are ignored until it
waits again. `connections` has what each one waits for, and sends the responses.
"""

import errno
import math
import re
import select
import time
from collections.abc import Callable, Sequence
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders, LimitRequestLine

from tokensvc.server.connection import Connection, WaitList
from tokensvc.server.connections import Connections
from tokensvc.server.framing import MAX_HEAD, Progress
from tokensvc.server.lead import Lead, Member
from tokensvc.server.responder import NoThread, RequestTimeout, Responder

STOP_SECONDS = 2.0
"""Time for a client to send another request to a worker that stops, on an open connection."""

_LONGEST_POLL = 1.0
_LONGEST_POLL_WHILE_STOPPING = 0.1
_PROBE = re.compile(rb"(?:\r\n)?(?:GET|HEAD) /(?:healthz|readyz(?:/instance)?) ")
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
        responder: Makes responses.
        lead: Decides which thread leads, and which one runs a request.
        max_connections: Number of connections that are kept open.
        keepalive: Seconds for which a connection may be idle.
        count: Is called for each request before it runs.

    Attributes:
        steps: Number of polls so far. It stops growing if the leader hangs.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        responder: Responder,
        lead: Lead[Connection],
        *,
        max_connections: int,
        keepalive: float,
        count: Callable[[], None],
    ) -> None:
        self.steps = 0
        self._responder = responder
        self._begin_deadline = responder.hooks.begin_deadline
        self._lead = lead
        self._count = count
        self._is_stopping = False
        self._stop_waiting_at = math.inf
        self._connections = Connections(max_connections=max_connections, keepalive=keepalive)
        self._mutex, self._epoll = self._connections.mutex, self._connections.epoll
        self._listeners = {sock.fileno(): (sock, sock.getsockname()) for sock in listeners}
        for fd in self._listeners:
            self._epoll.register(fd, select.EPOLLIN)

    @property
    def connections_open(self) -> int:
        """Number of connections."""
        return len(self._connections)

    def lead(self, member: Member[Connection]) -> None:
        """Lead until another thread has the lead, or the stop has ended the last connection."""
        while self._step(member) and (not self._is_stopping or self._continue_stop()):
            pass

    def run(self, connection: Connection) -> None:
        """Run the request of a connection, in any thread."""
        request, whole = connection.request
        keep = not self._is_stopping
        self._begin_deadline(connection.received_at)  # the time in the queue counts
        response = self._responder.respond(
            request, connection.client, connection.server, whole=whole, keep=keep
        )
        self._connections.send(connection, response)

    def stop(self) -> None:
        """Stop accepting, finish the received requests, then let `lead` return."""
        self._is_stopping = True
        self._connections.wake()

    def _step(self, member: Member[Connection]) -> bool:
        """Poll once and handle what is ready, and return whether the thread still leads."""
        self.steps += 1
        patience = self._expire()
        ready = self._connections.ready
        for fd, _ in self._epoll.poll(0 if ready else patience):
            connection = self._connections.get(fd)
            if connection is not None:
                self._on_event(connection)
                if not self._lead.end(member):
                    return False
            elif fd in self._listeners:
                self._accept(*self._listeners[fd])
        for _ in range(len(ready)):
            self._advance(ready.popleft())
            if not self._lead.end(member):
                return False
        return True

    def _accept(self, listener: Any, server: Any) -> bool:
        """Accept one connection; False if none waits."""
        try:
            sock, client = listener.accept()
        except OSError as error:
            if error.errno in {errno.EMFILE, errno.ENFILE}:
                with self._mutex:
                    self._connections.close_one()
            return False
        with self._mutex:
            self._connections.add(sock, client, server)
        return True

    # Receive

    def _on_event(self, connection: Connection) -> None:
        with self._mutex:
            if self._connections.get(connection.fd) is not connection:
                return  # another thread has just closed it
            if connection.wait_list is self._connections.busy:
                self._connections.stop_polling(connection)
                return
            if connection.wait_list is self._connections.sending:
                self._connections.resume(connection)
                return
        try:
            connection.receive()
        except OSError:
            self._close_locked(connection)
            return
        if connection.wait_list is self._connections.lingering:
            connection.received.clear()
            if connection.has_ended:
                self._close_locked(connection)
        else:
            self._advance(connection)

    def _advance(self, connection: Connection) -> None:
        """Handle what a connection has received."""
        if not connection.received:
            with self._mutex:
                if connection.has_ended:
                    self._connections.close(connection)
                else:
                    self._connections.wait(connection, self._connections.idle)
            return
        progress = connection.framing.measure(connection.received)
        if progress is Progress.CONTINUE and not connection.has_ended:
            self._invite_body(connection)
        elif progress in (Progress.MORE, Progress.CONTINUE):
            if connection.has_ended or connection.is_overdue:
                self._start(connection, whole=False)
                return
            has_head = connection.framing.head_length > 0
            receiving = self._connections.bodies if has_head else self._connections.heads
            with self._mutex:
                self._connections.wait(connection, receiving)
        elif progress in _TOO_LONG:
            connection.take(whole=False)
            self._refuse(connection, _TOO_LONG[progress])
        else:
            self._start(connection, whole=progress is Progress.WHOLE)

    def _invite_body(self, connection: Connection) -> None:
        """Send `100 Continue`, unless the head alone will be refused."""
        head = bytes(connection.received[: connection.framing.head_length])
        refusal = self._responder.refuse_head(head, connection.client)
        if refusal is not None:
            self._connections.send(connection, refusal)
        else:
            self._connections.send_interim(connection, _CONTINUE)

    # Run

    def _start(self, connection: Connection, *, whole: bool) -> None:
        """Run a request or queue it. Another thread may have the lead when this returns."""
        connection.take(whole=whole)
        self._count()
        with self._mutex:
            self._connections.move(connection, self._connections.busy)
        if self._lead.begin(connection):
            self.run(connection)
        elif _PROBE.match(connection.request[0]) and self._lead.withdraw(connection):
            # No other thread can lead: a probe runs here, because it responds from memory.
            self.run(connection)

    def _refuse(self, connection: Connection, error: Exception) -> None:
        """Refuse the request that was taken."""
        request, _ = connection.request
        response = self._responder.refuse(error, request, connection.client)
        self._connections.send(connection, response)

    def _close_locked(self, connection: Connection) -> None:
        with self._mutex:
            self._connections.close(connection)

    # Deadlines and stop

    def _expire(self) -> float:
        """End what is overdue, and return the seconds until something may be."""
        now = time.monotonic()
        with self._mutex:
            due = self._connections.take_due(now)
            earliest = self._connections.deadline()
        for connection, waited_in in due:
            self._end_wait(connection, waited_in)
        longest = _LONGEST_POLL_WHILE_STOPPING if self._is_stopping else _LONGEST_POLL
        return min(max(earliest - now, 0.0), longest)

    def _end_wait(self, connection: Connection, waited_in: WaitList) -> None:
        """End a wait whose time is over; the connection was removed from the list."""
        lists = self._connections
        if waited_in is lists.busy:  # its thread may have finished meanwhile
            if self._lead.withdraw(connection):
                self._refuse(connection, NoThread())
        elif waited_in is lists.bodies and connection.framing.is_streamed:
            connection.is_overdue = True  # the parser refuses what has arrived of it
            with self._mutex:
                lists.advance_later(connection)
        elif waited_in is lists.heads or waited_in is lists.bodies:
            connection.take(whole=False)
            self._refuse(connection, RequestTimeout())
        else:
            with self._mutex:
                lists.close(connection, abort=waited_in is lists.sending)

    def _continue_stop(self) -> bool:
        """Return whether a connection is still open in a worker that stops."""
        now, lists = time.monotonic(), self._connections
        if self._listeners:
            self._stop_waiting_at = now + STOP_SECONDS
            for fd, (listener, server) in self._listeners.items():
                self._epoll.unregister(fd)
                while self._accept(listener, server):
                    pass
                listener.close()
            self._listeners = {}
        elif now >= self._stop_waiting_at:
            with self._mutex:
                # A late response may have said keep-alive: its client has the same time.
                waiting = lists.take_due(now - STOP_SECONDS + lists.idle.seconds, lists.idle)
                waiting += lists.take_due(math.inf, lists.heads, lists.bodies)
            for connection, waited_in in waiting:
                self._end_wait(connection, waited_in)
        if self._connections:
            return True
        self._lead.stop()
        return False
