"""
Stream's rate limits: calls of an app, by endpoint and platform, in a minute and in a second.

Source: "Rate limits" of Stream's documents, the limits of an app that nobody has raised. A second
allows a thirtieth of a minute's limit.
"""

import threading
from collections.abc import Callable
from fnmatch import fnmatchcase

from testing.doubles.stream_tokens import StreamError

PER_MINUTE = {
    "GET /connect": 10_000,
    "GET /app": 10_000,
    "GET /users": 1_000,
    "POST /guest": 1_000,
    "POST /users": 300,
    "PATCH /users": 300,
    "POST /moderation/ban": 300,
    "DELETE /moderation/ban": 300,
    "POST /devices": 300,
    "PATCH /app": 60,
    "POST /users/delete": 60,
    "POST /users/*/deactivate": 60,
    "POST /users/*/reactivate": 60,
    "DELETE /users/*": 60,
    "GET /devices": 60,
    "DELETE /devices": 60,
}
"""Calls by route, with shell wildcards."""

SECOND = 30
"""Part of a minute's limit that one second allows."""


class RateLimitError(StreamError):
    """
    The response to a call over a limit.

    Args:
        headers: Headers about the limit.
    """

    def __init__(self, endpoint: str, headers: dict[str, str]) -> None:
        super().__init__(9, f"Too many requests for endpoint {endpoint!r}")
        self.headers = headers


class RateLimits:
    """
    The limits of one app, counted in whole minutes and seconds.

    Attributes:
        per_minute: Limits by route. A test may set others.
        others: Limit of each other route.
        clock: Clock of the windows, in epoch seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.per_minute = dict(PER_MINUTE)
        self.clock = clock
        self.others = 10_000
        self._windows: dict[tuple[str, str, int], tuple[int, int]] = {}
        self._lock = threading.Lock()

    def lift(self) -> None:
        """Set limits that no test reaches."""
        self.per_minute, self.others = {}, 1_000_000

    def count(self, route: str, platform: str) -> dict[str, str]:
        """
        Count a call, and return the headers of its response.

        Raises:
            RateLimitError: A limit is reached.
        """
        endpoint = next((name for name in self.per_minute if fnmatchcase(route, name)), route)
        limit = self.per_minute.get(endpoint, self.others)
        now = int(self.clock())
        with self._lock:
            in_minute = self._in_window((endpoint, platform, 60), now // 60)
            in_second = self._in_window((endpoint, platform, 1), now)
            is_over = in_minute >= limit or in_second >= max(1, limit // SECOND)
            if not is_over:
                in_minute += 1
                self._windows[endpoint, platform, 60] = now // 60, in_minute
                self._windows[endpoint, platform, 1] = now, in_second + 1
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(limit - in_minute),
            "X-RateLimit-Reset": str((now // 60 + 1) * 60),
        }
        if is_over:
            raise RateLimitError(endpoint, headers)
        return headers

    def _in_window(self, key: tuple[str, str, int], window: int) -> int:
        """Return the number of calls that the current window has allowed."""
        last, number = self._windows.get(key, (window, 0))
        return number if last == window else 0
