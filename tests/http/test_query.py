"""Strict parsing of queries."""

from typing import Any

import pytest

from testing.http_client import Client
from tests.http.conftest import JSON, TOKEN, Asked, Probe
from tokensvc.http.body import NoParameters, parse_query
from tokensvc.http.respond import json_response


@pytest.fixture
def queried(probe: Probe) -> list[Asked]:
    """Return the parsed queries of a test."""
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
def test_query_is_parsed(client: Client, queried: list[Asked], query: str, request_: Asked) -> None:
    """Parameters are texts, or decimal digits if the contract says integer."""
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
def test_invalid_query_gets_400(
    client: Client, queried: list[Asked], query: str, says: str
) -> None:
    """Ambiguous, unknown or malformed parameters, with the cause."""
    response = client.get("/v1/token", query=query, valid=False)
    assert (response.status, response.code) == (400, "malformed_request")
    assert says in response.json["detail"]
    assert not queried


def test_get_with_a_body_gets_400(client: Client, queried: list[Asked]) -> None:
    """Otherwise the service would ignore what the client requested."""
    response = client.get("/v1/token", body=b'{"user_id": "john"}', headers=JSON, valid=False)
    assert response.status == 400
    assert "This method has no body" in response.json["detail"]
    assert not queried


def test_route_without_parameters_refuses_a_query(client: Client, probe: Probe) -> None:
    probe.view = lambda: json_response(TOKEN) if parse_query(NoParameters) else None
    assert client.get("/v1/token").status == 200
    assert client.get("/v1/token", query={"ttl": 60}).status == 400
