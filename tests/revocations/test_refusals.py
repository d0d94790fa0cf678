"""Refusals of invalid input on the routes of revocation, and their order."""

from typing import Any

import pytest

from testing.http_client import Client
from testing.world import World

USER_ACTIONS = [
    ("POST", "/v1/users/{}/revocations"),
    ("DELETE", "/v1/users/{}/revocations/rev_00000000000000ffffffff"),
    ("PUT", "/v1/users/{}/suspension"),
    ("DELETE", "/v1/users/{}/suspension"),
]
APP_ACTIONS = [
    ("POST", "/v1/app/revocations"),
    ("DELETE", "/v1/app/revocations/rev_00000000000000ffffffff"),
]
READS = [
    ("GET", "/v1/users/{}", "users:read"),
    ("GET", "/v1/users", "users:read"),
    ("GET", "/v1/app", "users:read"),
    ("GET", "/v1/audit", "audit:read"),
]
SCOPED = [
    *((method, path, "revocations:write") for method, path in USER_ACTIONS),
    *((method, path, "app:write") for method, path in APP_ACTIONS),
    *READS,
]
WITH_BODY = [route for route in (*USER_ACTIONS, *APP_ACTIONS) if route[0] != "DELETE"]
WITHOUT_BODY = [route for route in (*USER_ACTIONS, *APP_ACTIONS) if route[0] == "DELETE"]
OF_USERS = [("GET", "/v1/users/{}"), *USER_ACTIONS]


@pytest.fixture(scope="module")
def powerless(world: World) -> Client:
    """Return a client that has each scope except those that the routes need."""
    return world.client_with("powerless", "tokens:mint", "users:write", "clients:write")


@pytest.mark.sec(32)
@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_route_without_its_scope_gets_403(
    world: World, powerless: Client, method: str, path: str, scope: str
) -> None:
    """The detail names the scope. A user's token gets 403 too, no credential 401."""
    path = path.format("victim")
    for client in (powerless, world.signed_in("victim")):
        refused = client.request(method, path)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
        assert scope in refused.json["detail"]
    anonymous = Client(world.service.base_url).request(method, path)
    assert (anonymous.status, anonymous.code) == (401, "credentials_missing")
    assert world.state("victim")["revocation"] is None
    assert world.operator.get("/v1/app").json["revocation"] is None


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"reasons": "spam"}, "did you mean `reason`?"),
        ({"user_id": "john"}, "`user_id` is unknown"),
        ({"dry_run": True}, "`dry_run` is unknown"),
        ({"reason": 7}, "$.reason"),
        ({"reason": "x" * 501}, "$.reason"),
        ({"reason": "\0"}, "$.reason"),
        ([], "The body is invalid"),
    ],
)
def test_invalid_body_gets_400(world: World, method: str, path: str, body: Any, named: str) -> None:
    """The detail names the member, and nothing changes."""
    refused = world.operator.request(method, path.format("victim"), json=body, valid=False)
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert named in refused.json["detail"]
    assert world.state("victim")["revocation"] is None


@pytest.mark.parametrize(("method", "path"), [*USER_ACTIONS, *APP_ACTIONS])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("dry_run=yes", "`dry_run` in the query must be true or false"),
        ("dry_run=", "`dry_run` in the query must be true or false"),
        ("dry-run=true", "did you mean `dry_run`?"),
        ("dry_run=true&dry_run=false", "each name once"),
    ],
)
def test_invalid_query_gets_400(
    world: World, method: str, path: str, query: str, named: str
) -> None:
    """A misspelt dry run must not change anything."""
    refused = world.operator.request(method, path.format("victim"), query=query, valid=False)
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert named in refused.json["detail"]
    assert world.state("victim")["revocation"] is None


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_reason_in_the_query_instead_of_the_body_gets_400(
    world: World, method: str, path: str
) -> None:
    refused = world.operator.request(
        method, path.format("victim"), query={"reason": "spam"}, valid=False
    )
    assert refused.code == "malformed_request"


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
def test_body_of_a_deletion_gets_400(world: World, method: str, path: str) -> None:
    """Not every proxy passes such a body on, so the service refuses it."""
    refused = world.operator.request(
        method, path.format("victim"), json={"reason": "spam"}, valid=False
    )
    assert refused.code == "malformed_request"


@pytest.mark.parametrize(("method", "path"), OF_USERS)
@pytest.mark.parametrize("user_id", ["John", "a.b", "x" * 256, "a%20b", "a%0A", "a%00", "j%C3%B6"])
def test_illegal_user_id_gets_422(world: World, method: str, path: str, user_id: str) -> None:
    """The detail contains the rule."""
    refused = world.operator.request(method, path.format(user_id), valid=False)
    assert (refused.status, refused.code) == (422, "user_id_invalid")
    assert "a-z" in refused.json["detail"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "suspended=1", "after=%00", "page=2", "suspended=true&x="],
)
def test_invalid_query_of_the_list_gets_400(world: World, query: str) -> None:
    assert world.operator.get("/v1/users", query=query, valid=False).code == "malformed_request"


def test_refusals_are_checked_in_order(world: World, powerless: Client) -> None:
    path = "/v1/users/John/revocations/none"
    anonymous = Client(world.service.base_url)
    assert anonymous.request("DELETE", path, query="x=1", valid=False).code == "malformed_request"
    assert anonymous.request("DELETE", path, valid=False).code == "credentials_missing"
    assert powerless.request("DELETE", path, valid=False).code == "insufficient_scope"
    assert world.operator.request("DELETE", path, valid=False).code == "user_id_invalid"
    path = path.replace("John", "john")
    assert world.operator.request("DELETE", path, valid=False).code == "not_found"


@pytest.mark.parametrize(
    "prefer",
    ["wait", "wait=x", "wait=-1", "wait=0", "wait=99999", "handling=strict", "", "a;wait=5"],
)
def test_invalid_prefer_header_is_ignored(world: World, prefer: str) -> None:
    """`Prefer` never makes a request fail (RFC 7240 section 2)."""
    response = world.revoke("wishful", headers={"Prefer": prefer})
    assert response.status == 200
    assert "Preference-Applied" not in response.headers
