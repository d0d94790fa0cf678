"""
Limits counted in Redis or Valkey, shared by all instances.

One script call per hit. Its time limit is short and covers the name look-up, connecting and the
command; nothing is retried. After a failure Redis is left alone for a pause. So an outage of Redis
delays few requests and refuses none.
"""

import hashlib
import socket
import time
from functools import cache
from threading import Lock
from typing import Any, Final

import structlog
from pydantic import SecretStr
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError
from redis.retry import Retry

from tokensvc.core.clock import Clock
from tokensvc.core.deadline import Deadline
from tokensvc.core.waiting import may_block
from tokensvc.limits.rules import Decision, Rate
from tokensvc.net.connect import connect
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


class _Bounded(AbstractConnection):
    """
    A connection that connects when it is used, and ends each wait at its deadline.

    Attributes:
        deadline: End of the current call. Set it before each call.
    """

    deadline: Deadline
    _sock: Any

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self._bound()
        super().send_packed_command(command, check_health)

    def read_response(self, *args: Any, **options: Any) -> Any:
        self._bound()
        return super().read_response(*args, **options)

    def _bound(self) -> None:
        if self._sock is not None:
            self._sock.settimeout(self.deadline.timeout())


class _Tcp(_Bounded, Connection):
    def _connect(self) -> socket.socket:
        connected = connect(self.host, self.port, self.deadline)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.settimeout(self.deadline.timeout())  # for the TLS handshake
        return connected


class _Tls(SSLConnection, _Tcp):
    """Wraps the socket of `_Tcp`."""


class _Unix(_Bounded, UnixDomainSocketConnection):
    def _connect(self) -> socket.socket:
        self.socket_connect_timeout = self.deadline.timeout()
        connected: socket.socket = super()._connect()
        return connected


_KINDS: dict[Any, Any] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


class RedisConnections:
    """
    Connections to one server, each used by one thread at a time.

    They stay open. Their number is that of threads that have called Redis simultaneously.

    Args:
        url: `redis://`, `rediss://` or `unix://`; contains a password.
    """

    def __init__(self, url: SecretStr) -> None:
        # RESP 2 and no information about the driver: each would be a command of its own.
        parsed = ConnectionPool.from_url(
            url.get_secret_value(), protocol=2, driver_info=None, retry=Retry(NoBackoff(), 0)
        )
        self._kind = _KINDS[parsed.connection_class]
        self._options = parsed.connection_kwargs
        self._idle: list[_Bounded] = []

    def evaluate(self, script: str, key: str, *arguments: int, deadline: Deadline) -> Any:
        """
        Run a script and return its result.

        Raises:
            RedisError: Any failure.
        """
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._kind(**self._options)
        connection.deadline = deadline
        was_connected = connection.is_connected
        try:
            return _evaluate(connection, script, key, *arguments)
        except RedisConnectionError:
            if not was_connected:
                raise
            # Redis closed it while it was idle. The same object connects again.
            return _evaluate(connection, script, key, *arguments)
        finally:
            self._idle.append(connection)


def _evaluate(connection: _Bounded, script: str, key: str, *arguments: int) -> Any:
    try:
        connection.send_command("EVALSHA", _hash(script), 1, key, *arguments)
        return connection.read_response()
    except NoScriptError:  # the first call, or Redis was restarted
        connection.send_command("EVAL", script, 1, key, *arguments)
        return connection.read_response()


@cache
def _hash(script: str) -> str:
    return hashlib.sha1(script.encode()).hexdigest()  # noqa: S324 - Redis names scripts so
