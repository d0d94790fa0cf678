"""Connections of clients to the Stream double, by WebSocket or long polling."""

import json
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from websockets.exceptions import ConnectionClosed
from websockets.sync.connection import Connection

DROPPED = 1011
"""Close code. After 1000 the JavaScript SDK does not reconnect."""


class Session:
    """
    A connected client.

    Attributes:
        transport: `websocket` or `longpoll`.
        watched: Channels whose events the client receives, as `type:id`.
    """

    def __init__(self, user_id: str, websocket: Connection | None = None) -> None:
        self.id = str(uuid4())
        self.user_id = user_id
        self.transport = "websocket" if websocket else "longpoll"
        self.watched: set[str] = set()
        self._websocket = websocket
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def push(self, event: dict[str, Any]) -> None:
        """Send an event to the client. A client that has gone receives nothing."""
        if self._websocket:
            with suppress(ConnectionClosed):
                self._websocket.send(json.dumps(event))
        else:
            self._events.put(event)

    def end(self) -> None:
        """End the connection as a failing server does."""
        if self._websocket:
            self._websocket.close(DROPPED)
        else:
            self._events.put(None)

    def poll(self, seconds: float) -> list[dict[str, Any]]:
        """Wait for an event as a long poll does. An ended session has no events."""
        try:
            event = self._events.get(timeout=seconds)
        except queue.Empty:
            return []
        return [event] if event else []

    def respond_to_pings(self, health_check: Callable[[], dict[str, Any]]) -> None:
        """Respond to the client's health checks until it disconnects."""
        assert self._websocket is not None
        try:
            for message in self._websocket:
                if json.loads(message)[0]["type"] == "health.check":
                    self.push(health_check())
        except ConnectionClosed:
            return


class Sessions:
    """
    Current sessions.

    Attributes:
        on_end: Called with a session that has ended.
    """

    def __init__(self) -> None:
        self.on_end: Callable[[Session], None] = lambda _: None
        self._by_id: dict[str, Session] = {}
        self._changed = threading.Condition()

    def add(self, session: Session) -> None:
        with self._changed:
            self._by_id[session.id] = session
            self._changed.notify_all()

    def remove(self, session_id: str) -> Session | None:
        with self._changed:
            self._changed.notify_all()
            session = self._by_id.pop(session_id, None)
        if session:
            self.on_end(session)
        return session

    def get(self, session_id: str) -> Session | None:
        with self._changed:
            return self._by_id.get(session_id)

    def of(self, user_id: str) -> list[Session]:
        with self._changed:
            return [session for session in self._by_id.values() if session.user_id == user_id]

    def watching(self, cid: str) -> list[Session]:
        """Return the sessions that receive the events of a channel."""
        with self._changed:
            return [session for session in self._by_id.values() if cid in session.watched]

    def wait_for(self, user_id: str, count: int = 1, timeout: float = 20) -> list[Session]:
        """Wait until a user has exactly `count` sessions, and return them."""
        with self._changed:
            reached = self._changed.wait_for(lambda: len(self.of(user_id)) == count, timeout)
        assert reached, f"{user_id} has {len(self.of(user_id))} sessions, not {count}"
        return self.of(user_id)

    def drop(self, user_id: str) -> None:
        """End a user's connections as a failing server does. The client reconnects."""
        for session in self.of(user_id):
            self.remove(session.id)
            session.end()

    def drop_all(self) -> None:
        with self._changed:
            users = {session.user_id for session in self._by_id.values()}
        for user_id in users:
            self.drop(user_id)
