"""
Limits counted in Redis or Valkey, shared by all instances.

One script call per hit. Its time limit is short and nothing is retried; after a failure Redis is
left alone for a pause. So an outage of Redis delays few requests and refuses none.
"""

import time
from threading import Lock
from typing import Final

import structlog
from pydantic import SecretStr
from redis.exceptions import RedisError

from tokensvc.core.clock import Clock
from tokensvc.core.deadline import Deadline
from tokensvc.core.waiting import may_block
from tokensvc.limits.redis_connections import RedisConnections
from tokensvc.limits.rules import Decision, Rate
from tokensvc.telemetry import metrics

TIMEOUT: Final = 0.15
"""Seconds for one hit in all: name look-up, connecting, signing in and the script."""
PAUSE: Final = 1.0
"""Seconds between a failed call and the next."""

_KEY_PREFIX: Final = "tokensvc:limits:"
SCRIPT: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local period, burst, count = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local tolerance = period * burst
local tat = tonumber(redis.call('GET', KEYS[1]) or 0)
local backlog = math.min(math.max(tat - now, 0), tolerance)
local allowed = backlog + period <= tolerance
if allowed and count then
  backlog = backlog + period
  local tat_text = string.format('%.0f', now + backlog)
  redis.call('SET', KEYS[1], tat_text, 'PX', math.ceil(backlog / 1000))
end
return {allowed and 1 or 0, backlog}
"""
"""`rules.gcra` and the count, on Redis' own clock; returns the members of a `Decision`."""

_log = structlog.get_logger()


class RedisStore:
    """
    Counts hits of all instances.

    Args:
        url: `redis://`, `rediss://` or `unix://`; contains a password.
        clock: Seconds, monotonic; measures the pause after a failure.
    """

    def __init__(self, url: SecretStr, *, clock: Clock = time.monotonic) -> None:
        self._connections = RedisConnections(url)
        self._clock = clock
        self._lock = Lock()
        self._paused_until: float | None = None

    def check(self, key: str, rate: Rate, *, count: bool) -> Decision | None:
        """
        Decide whether a hit passes; return `None` while Redis is unavailable.

        Args:
            key: Identifies the policy and the user, service or address.
            rate: The limit.
            count: Whether a hit that passes is counted.
        """
        if not self._may_call():
            metrics.count_limiter_fallback()
            return None
        may_block()
        try:
            allowed, backlog = self._connections.evaluate(
                SCRIPT,
                _KEY_PREFIX + key,
                rate.period,
                rate.limit,
                int(count),
                deadline=Deadline(TIMEOUT),
            )
        except RedisError as error:
            self._fail(error)
            return None
        self._succeed()
        return Decision(allowed == 1, backlog)

    def _may_call(self) -> bool:
        """Return whether to call Redis now; after a pause, only one thread may."""
        with self._lock:
            if self._paused_until is None:
                return True
            now = self._clock()
            if now < self._paused_until:
                return False
            self._paused_until = now + PAUSE
            return True

    def _succeed(self) -> None:
        with self._lock:
            has_recovered = self._paused_until is not None
            self._paused_until = None
        if has_recovered:
            _log.info("limiter_redis_recovered")

    def _fail(self, error: RedisError) -> None:
        metrics.count_limiter_fallback()
        with self._lock:
            is_first = self._paused_until is None
            self._paused_until = self._clock() + PAUSE
        if is_first:
            _log.warning(
                "limiter_redis_failed",
                error=type(error).__name__,
                detail="Each worker process counts rate limits in its own memory.",
                hint="Check `redis_url` and the Redis server.",
            )
