"""The devices of users at a Stream double, which get push notifications."""

import threading
from typing import Any

from testing.doubles.stream_app import StreamApp
from testing.doubles.stream_tokens import Claims, StreamError

MAX_DEVICES = 25
"""Devices of a user. One more replaces the oldest."""


class Devices:
    """The devices of one app."""

    def __init__(self, app: StreamApp) -> None:
        self._app = app
        self._of: dict[str, list[dict[str, Any]]] = {}
        self._lock = threading.Lock()

    def of(self, user_id: str) -> list[dict[str, Any]]:
        """Return the devices of a user, the oldest first."""
        with self._lock:
            return list(self._of.get(user_id, []))

    def create(self, claims: Claims, body: dict[str, Any]) -> None:
        """
        Add a device.

        Raises:
            StreamError: 4 without ID or provider; 16 if the user does not exist.
        """
        device_id, provider = body.get("id"), body.get("push_provider")
        if not device_id or provider not in {"apn", "firebase", "huawei", "xiaomi"}:
            raise StreamError(4, "id and push_provider are required")
        self.add(self._user(claims, body.get("user_id")), device_id, provider)

    def add(self, user_id: str, device_id: str, provider: str = "firebase") -> None:
        """Add a device as a call of its user does."""
        facts = {"id": device_id, "push_provider": provider, "user_id": user_id}
        with self._lock:
            others = [known for known in self._of.get(user_id, []) if known["id"] != device_id]
            devices = [*others, {**facts, "created_at": self._app.timestamp()}]
            self._of[user_id] = devices[-MAX_DEVICES:]

    def query(self, claims: Claims, user_id: str | None) -> list[dict[str, Any]]:
        """Return the devices of a user."""
        return self.of(self._user(claims, user_id))

    def delete(self, claims: Claims, user_id: str | None, device_id: str | None) -> None:
        """
        Remove a device.

        Raises:
            StreamError: 16 if it does not exist.
        """
        user_id = self._user(claims, user_id)
        with self._lock:
            devices = self._of.get(user_id, [])
            self._of[user_id] = [known for known in devices if known["id"] != device_id]
            if self._of[user_id] == devices:
                raise StreamError(16, f"device {device_id!r} does not exist")

    def _user(self, claims: Claims, user_id: str | None) -> str:
        """Return the user of a call: of the token, or as a server says."""
        user_id = user_id if claims.server else claims.user_id
        if user_id not in self._app.users:
            raise StreamError(16, f"user {user_id!r} does not exist")
        return user_id
