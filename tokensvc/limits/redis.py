"""
Windows in Redis or Valkey, shared by all instances.

The scripts are those of `limits`, run in one round trip. Redis is asked with short time-outs and
without retries, and after a failure it is left alone for a while: while it is away, a request
waits for it hardly ever, and nobody is refused for it.
"""

import time
from collections.abc import Callable
from typing import Any, Final

import structlog
from limits.storage import RedisStorage
from pydantic import SecretStr
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tokensvc.core.clock import Clock
from tokensvc.limits.rules import Window
from tokensvc.telemetry import metrics

TIMEOUT: Final = 0.2
"""Seconds, to connect and for an answer."""
PAUSE: Final = 2.0
"""Seconds for which a Redis that failed is not asked."""
LOG_INTERVAL: Final = 60.0

_PREFIX: Final = "tokensvc"
_TAKE_AND_LOOK = f"""
local take = function(KEYS, ARGV) {RedisStorage.SCRIPT_ACQUIRE_SLIDING_WINDOW.decode()} end
local look = function(KEYS, ARGV) {RedisStorage.SCRIPT_SLIDING_WINDOW.decode()} end
local taken = take(KEYS, ARGV)
return {{taken and 1 or 0, look(KEYS, {{ARGV[2]}})}}
"""

_log = structlog.get_logger()


class RedisWindows:
    """
    Sliding windows in Redis. Every method gives `None` while Redis is away.

    Args:
        url: `redis://`, `rediss://` or `unix://`; holds a password.
        clock: Seconds from any moment, monotonic.
    """

    def __init__(self, url: SecretStr, *, clock: Clock = time.monotonic) -> None:
        pool = ConnectionPool.from_url(
            url.get_secret_value(),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        self._storage = RedisStorage("redis://", connection_pool=pool, key_prefix=_PREFIX)
        self._take_and_look = Redis(connection_pool=pool).register_script(_TAKE_AND_LOOK)
        self._clock = clock
        self._paused_until = 0.0
        self._silent_until = 0.0

    def take(self, key: str, limit: int, window: int) -> tuple[bool, Window] | None:
        """Count a hit if it passes; tell whether it did, and what is counted now."""
        answer = self._ask(
            lambda: self._take_and_look(
                [f"{_PREFIX}:{{{key}}}/-1", f"{_PREFIX}:{{{key}}}"], [limit, window, 1]
            )
        )
        return None if answer is None else (answer[0] == 1, _window(answer[1]))

    def look(self, key: str, window: int) -> Window | None:
        """Tell what is counted, without counting."""
        answer = self._ask(lambda: self._storage.get_sliding_window(key, window))
        return None if answer is None else Window(*answer)

    def _ask(self, question: Callable[[], Any]) -> Any:
        now = self._clock()
        if now < self._paused_until:
            metrics.count_limiter_fallback()
            return None
        if self._paused_until:
            # One thread tries again; the others go on without.
            self._paused_until = now + PAUSE
        try:
            answer = question()
        except RedisError as error:
            self._paused_until = self._clock() + PAUSE
            metrics.count_limiter_fallback()
            self._report(error)
            return None
        self._paused_until = 0.0
        return answer

    def _report(self, error: RedisError) -> None:
        now = self._clock()
        if now >= self._silent_until:
            self._silent_until = now + LOG_INTERVAL
            _log.warning("limits.redis_failed", error=type(error).__name__, counted_in="memory")


def _window(answer: list[Any]) -> Window:
    previous, previous_ttl, current, current_ttl = answer
    return Window(
        int(previous or 0),
        max(0, previous_ttl) / 1000,
        int(current or 0),
        max(0, current_ttl) / 1000,
    )
