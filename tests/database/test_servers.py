"""The choice among several servers, without servers."""

from types import SimpleNamespace
from typing import Any

import psycopg

from tokensvc.database.postgresql_hosts import Hosts
from tokensvc.database.servers import Servers


class _Connection(SimpleNamespace):
    """A connection to a primary on timeline 1 or 2."""

    def execute(self, _query: str) -> "_Connection":
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return [(1, "system", f"{self.timeline:08X}", "0")]

    def close(self) -> None:
        pass


def test_primary_that_a_look_missed_is_tried_together_with_the_others() -> None:
    """A frozen one accepts a connection and would delay each attempt that begins with it."""
    timelines, tried = {"a": 1}, []

    def open_host(options: dict[str, Any]) -> Any:
        host = options["host"]
        tried.append(host)
        if host not in timelines:
            raise psycopg.OperationalError("the server does not respond")
        return _Connection(timeline=timelines[host], pgconn=SimpleNamespace(backend_pid=1))

    hosts = Hosts({"host": "a,b"}, open_host, Servers())
    hosts.connect()
    timelines.clear()
    hosts.look()
    timelines["b"] = 2
    tried.clear()
    assert hosts.connect().server.address == "b:5432"
    assert sorted(tried) == ["a", "b"]
