"""Connections to Redis whose deadline covers the name look-up, connecting and the command."""

import hashlib
import socket
from functools import cache
from typing import Any

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
from redis.exceptions import NoScriptError
from redis.retry import Retry

from tokensvc.core.deadline import Deadline
from tokensvc.net.connect import connect


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
