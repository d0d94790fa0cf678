"""
Deletion of users, and the tasks that do it.

Users are marked as deleted at once; from then on Stream refuses them. The task deletes the rest. A
user who does not exist, or is deleted already, fails the whole call, unless the task failed.
"""

import itertools
import threading
from collections.abc import Mapping
from typing import Any

from testing.doubles.stream_app import MAX_USERS_PER_CALL, StreamApp
from testing.doubles.stream_channels import Channels
from testing.doubles.stream_tokens import Claims, StreamError

_MODES = {
    "user": {"soft", "pruning", "hard"},
    "messages": {"soft", "pruning", "hard"},
    "conversations": {"soft", "hard"},
}


class Deletions:
    """
    The tasks that delete users.

    Attributes:
        asked: Number of times that a task is `running` before it ends.
        failing: Number of the next tasks that fail.
    """

    def __init__(self, app: StreamApp, channels: Channels) -> None:
        self.asked = 1
        self.failing = 0
        self._app = app
        self._channels = channels
        self._tasks: dict[str, dict[str, Any]] = {}
        self._unfinished: set[str] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def delete(self, claims: Claims, wanted: Mapping[str, Any]) -> str:
        """Mark users as deleted, and return the ID of the task."""
        self._app.require_server(claims)
        user_ids = wanted.get("user_ids")
        if not isinstance(user_ids, list) or not 0 < len(user_ids) <= MAX_USERS_PER_CALL:
            raise StreamError(4, f"user_ids must contain 1 to {MAX_USERS_PER_CALL} items")
        modes = {name: wanted.get(name) for name in _MODES}
        if any(mode not in {None, *_MODES[name]} for name, mode in modes.items()):
            raise StreamError(4, f"the modes are {_MODES}")
        if modes["user"] == "hard" and {modes["messages"], modes["conversations"]} != {"hard"}:
            raise StreamError(4, "user: hard needs messages: hard and conversations: hard")
        with self._lock:
            hard = modes["user"] == "hard"
            self._app.delete_users(user_ids, hard=hard, again=self._unfinished)
            self._unfinished -= set(user_ids)
            task = f"task-{next(self._numbers)}"
            fails, self.failing = self.failing > 0, max(0, self.failing - 1)
            self._tasks[task] = {"left": self.asked, "fails": fails, "users": user_ids, **modes}
        return task

    def read(self, claims: Claims, task: str) -> dict[str, Any]:
        """Return the state of a task. It goes on each time that it is asked for."""
        self._app.require_server(claims)
        with self._lock:
            if task not in self._tasks:
                raise StreamError(16, f"task {task!r} does not exist")
            found = self._tasks[task]
            found["left"] -= 1
            if found["left"] >= 0:
                return {"task_id": task, "status": "running"}
            if found["fails"]:
                self._unfinished |= set(found["users"])
                error = {"type": "internal", "description": "planned failure"}
                return {"task_id": task, "status": "failed", "error": error}
            if found["messages"] == "hard":
                self._channels.delete_messages(found["users"])
            return {"task_id": task, "status": "completed", "result": {}}
