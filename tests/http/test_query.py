"""Parameters in the query: read as strictly as a body, or refused with what is wrong."""

from typing import Any

import msgspec
import pytest

from testing.http_client import Client
from tests.http.conftest import TOKEN, Probe
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.respond import json_response

JSON = {"Content-Type": "application/json"}


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of every kind."""

    user_id: str | None = None
    auth_time: int | None = None
    api_key: str | None = None
    ttl: int | None = None
    user: dict[str, Any] | None = None


@pytest.fixture
def queried(probe: Probe) -> list[Asked]:
    """Give what the queries of a test were parsed to."""
    requests: list[Asked] = []

    def view() -> Any:
        requests.append(parse_query(Asked))
        return json_response(TOKEN)

    probe.view = view
    return requests


@pytest.mark.parametrize(
    ("query", "request_"),
    [
        ("", Asked()),
        ("user_id=john&ttl=60", Asked(user_id="john", ttl=60)),
        ("user_id=null", Asked(user_id="null")),
        ("user_id=", Asked(user_id="")),
        ("user_id=j%C3%B6hn", Asked(user_id="jöhn")),
        ("auth_time=-1", Asked(auth_time=-1)),
        ("ttl=1" + "0" * 3000, Asked(ttl=10**3000)),
        ("api_key=007", Asked(api_key="007")),
    ],
)
def test_queries_that_are_read(
    client: Client, queried: list[Asked], query: str, request_: Asked
) -> None:
    """Parameters are text, and digits where the contract says integer."""
    assert client.get("/v1/token", query=query, valid=False).status == 200
    assert queried == [request_]


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("user_id=a&user_id=b", "each name once"),
        ("user_id", "name=value"),
        ("user_id=%ff", "UTF-8"),
        ("&".join(f"a{number}=1" for number in range(40)), "is malformed"),
        ("ttl=", "integer"),
        ("ttl=1.5", "integer"),
        ("ttl=%2060", "integer"),
        ("ttl=6_0", "integer"),
        ("ttl=%D9%A3", "integer"),
        ("ttl=0x10", "integer"),
        ("ttl=null", "integer"),
        ("userId=john", "did you mean `user_id`?"),
        ("user=john", "The query is invalid"),
        ("=john", "`` is unknown"),
    ],
)
def test_queries_that_are_refused(
    client: Client, queried: list[Asked], query: str, says: str
) -> None:
    """An ambiguous, unknown or malformed parameter is 400 with what is wrong."""
    answer = client.get("/v1/token", query=query, valid=False)
    assert (answer.status, answer.code) == (400, "malformed_request")
    assert says in answer.json["detail"]
    assert not queried


def test_a_body_where_the_query_is_read(client: Client, queried: list[Asked]) -> None:
    """A `GET` with a body is refused: to ignore the body would be to ignore what was asked."""
    answer = client.get("/v1/token", body=b'{"user_id": "john"}', headers=JSON, valid=False)
    assert answer.status == 400
    assert "This method has no body" in answer.json["detail"]
    assert not queried


def test_no_parameters(client: Client, probe: Probe) -> None:
    """A route without parameters refuses any."""
    probe.view = lambda: json_response(TOKEN) if parse_query(NoParameters) else None
    assert client.get("/v1/token").status == 200
    assert client.get("/v1/token", query={"ttl": 60}).status == 400
