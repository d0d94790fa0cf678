"""The parts outside the service that hang in the proof `stuck`, other than a database."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import redis
import sqlalchemy as sa

from testing.name_server import NameServer
from testing.postgres import PostgresServer
from testing.redis_server import RedisServer
from testing.relay import relayed

Part = tuple[Any, dict[str, str]]
"""What fails, and the settings of the service."""


@contextlib.contextmanager
def redis_server() -> Iterator[Part]:
    """Run a Redis that counts the limits."""
    server = RedisServer()
    try:
        yield server, {"TOKENSVC_REDIS_URL": server.url}
    finally:
        server.remove()


class NamedPart(ABC):
    """
    A server that the service reaches by a name, and its name server.

    Attributes:
        prefix: Words before the command of the service, so that it asks the name server.
    """

    def __init__(self, names: NameServer) -> None:
        self.prefix = names.prefix
        self._names = names

    def freeze(self) -> None:
        """Stop the name server, and close the connections that the service has."""
        self._names.freeze()
        self._disconnect()

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._names.thaw()

    @abstractmethod
    def _disconnect(self) -> None:
        """Close the connections that the service has."""


class NamedRedis(NamedPart):
    """A Redis server that is reached by a name."""

    def __init__(self, names: NameServer, server: RedisServer) -> None:
        super().__init__(names)
        self._server = server

    def _disconnect(self) -> None:
        with redis.Redis.from_url(self._server.url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


class NamedDatabase(NamedPart):
    """A PostgreSQL server that is reached by a name."""

    def __init__(self, names: NameServer, server: PostgresServer) -> None:
        super().__init__(names)
        self._server = server

    def _disconnect(self) -> None:
        self._server.cut_connections()


@contextlib.contextmanager
def named_redis() -> Iterator[Part]:
    """Run a Redis that is reached by a name."""
    with redis_server() as (server, settings), _name_server() as names:
        url = settings["TOKENSVC_REDIS_URL"].replace("127.0.0.1", "cache.example")
        yield NamedRedis(names, server), {"TOKENSVC_REDIS_URL": url}


@contextlib.contextmanager
def named_database(part: Part) -> Iterator[Part]:
    """Make the server of a database reachable by a name."""
    server, settings = part
    url = sa.make_url(settings["TOKENSVC_DATABASE_URL"])
    path = f"{url.query['host']}/.s.PGSQL.5432"
    with relayed(path) as port, _name_server() as names:
        named = url.set(host="db.example", port=port, query={})
        settings = {**settings, "TOKENSVC_DATABASE_URL": named.render_as_string()}
        yield NamedDatabase(names, server), settings


@contextlib.contextmanager
def _name_server() -> Iterator[NameServer]:
    names = NameServer()
    try:
        yield names
    finally:
        names.remove()
