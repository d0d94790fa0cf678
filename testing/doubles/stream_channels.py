"""
Channels of a Stream app: messages, typing, reads and who watches.

Every user may read and write in a channel of type `livestream`, the only type here; typing and read
events are on, as the dashboard allows. Privacy settings of a user hold for typing and reads.
"""

import re
import threading
from collections.abc import Collection, Mapping
from typing import Any
from uuid import uuid4

from testing.doubles.stream_app import StreamApp
from testing.doubles.stream_sessions import Session, Sessions
from testing.doubles.stream_tokens import StreamError

TYPE = "livestream"
MAX_TEXT = 5000
"""Characters of a message."""

_CHANNEL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPING = {"typing.start", "typing.stop"}
_CONFIG = {
    "name": TYPE,
    "typing_events": True,
    "read_events": True,
    "connect_events": True,
    "delivery_events": False,
    "max_message_length": MAX_TEXT,
    "commands": [],
}
_PUBLIC = {"id", "name", "image", "role", "created_at", "updated_at"}
_CAPABILITIES = ["read-events", "send-message", "send-typing-events", "typing-events"]


class Channel:
    """
    A channel.

    Attributes:
        reads: Time and last message that each user has read, by user ID.
    """

    def __init__(self, channel_id: str, creator: Mapping[str, Any], created_at: str) -> None:
        self.id = channel_id
        self.cid = f"{TYPE}:{channel_id}"
        self.messages: list[dict[str, Any]] = []
        self.reads: dict[str, dict[str, Any]] = {}
        self.facts = {
            "id": channel_id,
            "type": TYPE,
            "cid": self.cid,
            "created_by": creator,
            "created_at": created_at,
            "updated_at": created_at,
            "frozen": False,
            "disabled": False,
            "config": _CONFIG,
            "own_capabilities": _CAPABILITIES,
        }


class Channels:
    """The channels of one app."""

    def __init__(self, app: StreamApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions
        self._by_cid: dict[str, Channel] = {}
        self._lock = threading.RLock()
        sessions.on_end = self._stop_watching

    def query(
        self, user_id: str, kind: str, channel_id: str, watcher: Session | None
    ) -> dict[str, Any]:
        """Return the state of a channel, which is created if it does not exist."""
        if kind != TYPE:
            raise StreamError(16, f"channel type {kind!r} does not exist")
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise StreamError(4, "a channel ID has 1 to 64 of a-z, A-Z, 0-9, _ and -")
        with self._lock:
            cid = f"{TYPE}:{channel_id}"
            if cid not in self._by_cid:
                created_at = self._app.timestamp()
                self._by_cid[cid] = Channel(channel_id, self._user(user_id), created_at)
            return self._watch(self._by_cid[cid], user_id, watcher)

    def find(
        self, user_id: str, query: Mapping[str, Any], watcher: Session | None
    ) -> list[dict[str, Any]]:
        """Return the states of the channels that a query names by `cid`."""
        cids = query.get("filter_conditions", {}).get("cid", {}).get("$in", [])
        with self._lock:
            found = [self._by_cid[cid] for cid in cids if cid in self._by_cid]
            return [self._watch(channel, user_id, watcher) for channel in found]

    def send_message(self, user_id: str, cid: str, message: Any) -> dict[str, Any]:
        """
        Store a message and send it to the watchers.

        Raises:
            StreamError: 4 if it has no text, a long one or the ID of another; 16 without channel.
        """
        text = message.get("text") if isinstance(message, dict) else None
        if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
            raise StreamError(4, f"message.text must have 1 to {MAX_TEXT} characters")
        with self._lock:
            channel = self._get(cid)
            message_id = str(message.get("id") or uuid4())
            if any(known["id"] == message_id for known in channel.messages):
                raise StreamError(4, f"a message with ID {message_id!r} exists")
            stored = {
                "id": message_id,
                "cid": cid,
                "type": "regular",
                "text": text,
                "user": self._user(user_id),
                "created_at": self._app.timestamp(),
                "updated_at": self._app.timestamp(),
            }
            channel.messages.append(stored)
        self._broadcast("message.new", channel, user_id, message=stored)
        return stored

    def delete_messages(self, user_ids: Collection[str]) -> None:
        """Delete all messages of users."""
        with self._lock:
            for channel in self._by_cid.values():
                channel.messages[:] = [
                    message for message in channel.messages if message["user"]["id"] not in user_ids
                ]

    def send_event(self, user_id: str, cid: str, event: Any) -> dict[str, Any]:
        """
        Send an event to the watchers: a custom one, or that a user types.

        Typing is sent unless the user's settings forbid it.
        """
        kind = event.get("type") if isinstance(event, dict) else None
        if kind not in _TYPING:
            check_custom_type(event)
        with self._lock:
            channel = self._get(cid)
        if kind not in _TYPING:
            self._broadcast(kind, channel, user_id)
        elif self._app.allows(user_id, "typing_indicators"):
            self._broadcast(kind, channel, user_id, setting="typing_indicators")
        return self._event(kind, channel, user_id)

    def mark_read(self, user_id: str, cid: str) -> dict[str, Any]:
        """Store what a user has read, and tell the watchers if the user's settings allow it."""
        with self._lock:
            channel = self._get(cid)
            last = channel.messages[-1]["id"] if channel.messages else None
            read = {"last_read": self._app.timestamp(), "last_read_message_id": last}
            channel.reads[user_id] = read
        only = None if self._app.allows(user_id, "read_receipts") else user_id
        self._broadcast("message.read", channel, user_id, only=only, last_read_message_id=last)
        return self._event("message.read", channel, user_id, last_read_message_id=last)

    def _get(self, cid: str) -> Channel:
        if cid not in self._by_cid:
            raise StreamError(16, f"channel {cid!r} does not exist")
        return self._by_cid[cid]

    def _watch(self, channel: Channel, user_id: str, watcher: Session | None) -> dict[str, Any]:
        """Add a watcher. Return what a user may see of a channel."""
        if watcher:
            watcher.watched.add(channel.cid)
        readers = [
            reader
            for reader in channel.reads
            if reader == user_id or self._app.allows(reader, "read_receipts")
        ]
        watchers = {session.user_id for session in self._sessions.watching(channel.cid)}
        return {
            "channel": channel.facts,
            "messages": channel.messages,
            "read": [
                {"user": self._user(reader), "unread_messages": 0, **channel.reads[reader]}
                for reader in readers
            ],
            "members": [],
            "pinned_messages": [],
            "watcher_count": len(watchers),
            "watchers": [self._user(watching) for watching in sorted(watchers)],
        }

    def _stop_watching(self, ended: Session) -> None:
        """Tell the watchers that a user has left."""
        for cid in ended.watched:
            if ended.user_id not in {one.user_id for one in self._sessions.watching(cid)}:
                self._broadcast("user.watching.stop", self._by_cid[cid], ended.user_id)

    def _broadcast(
        self,
        kind: str,
        channel: Channel,
        user_id: str,
        *,
        only: str | None = None,
        setting: str | None = None,
        **members: Any,
    ) -> None:
        """Send an event to the watchers: to one user only, or to those with a setting on."""
        event = self._event(kind, channel, user_id, **members)
        for session in self._sessions.watching(channel.cid):
            if only not in {None, session.user_id}:
                continue
            if setting is None or self._app.allows(session.user_id, setting):
                session.push(event)

    def _event(self, kind: str, channel: Channel, user_id: str, **members: Any) -> dict[str, Any]:
        return {
            "type": kind,
            "cid": channel.cid,
            "channel_id": channel.id,
            "channel_type": TYPE,
            "user": self._user(user_id),
            "created_at": self._app.timestamp(),
            **members,
        }

    def _user(self, user_id: str) -> dict[str, Any]:
        """Return what other users see of a user."""
        user = self._app.users.get(user_id, {"id": user_id})
        return {name: value for name, value in user.items() if name in _PUBLIC}


def check_custom_type(event: Any) -> None:
    """
    Check an event of an app's own type.

    Raises:
        StreamError: 4 if it has no type, or one of Stream's, which have dots.
    """
    kind = event.get("type") if isinstance(event, dict) else None
    if not isinstance(kind, str) or not kind or "." in kind:
        raise StreamError(4, "the type of a custom event is a text without dots")
