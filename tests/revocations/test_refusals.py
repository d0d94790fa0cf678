"""What bad input gets on the routes of revocation, and the order in which it is told."""

from typing import Any

import pytest

from testing.http_client import Client
from tests.revocations.live import World

ACTS = [
    ("POST", "/v1/users/{}/revocations"),
    ("DELETE", "/v1/users/{}/revocations/rev_00000000000000ffffffff"),
    ("PUT", "/v1/users/{}/suspension"),
    ("DELETE", "/v1/users/{}/suspension"),
]
EVERYONE = [
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
    *((method, path, "revocations:write") for method, path in ACTS),
    *((method, path, "app:write") for method, path in EVERYONE),
    *READS,
]
WITH_BODY = [act for act in (*ACTS, *EVERYONE) if act[0] != "DELETE"]
WITHOUT_BODY = [act for act in (*ACTS, *EVERYONE) if act[0] == "DELETE"]
OF_USERS = [("GET", "/v1/users/{}"), *ACTS]


@pytest.fixture(scope="module")
def powerless(world: World) -> Client:
    """Give a client that has every scope but those that the routes need."""
    return world.client_with("powerless", "tokens:mint", "users:write", "clients:write")


@pytest.mark.sec(32)
@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
def test_each_route_needs_its_scope(
    world: World, powerless: Client, method: str, path: str, scope: str
) -> None:
    """Without it: 403 that names it; a user's token is no better; none at all is 401."""
    path = path.format("victim")
    for client in (powerless, world.signed_in("victim")):
        refused = client.request(method, path)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
        assert scope in refused.json["detail"]
    nobody = Client(world.service.base_url).request(method, path)
    assert (nobody.status, nobody.code) == (401, "credentials_missing")
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
def test_a_body_that_does_not_fit(
    world: World, method: str, path: str, body: Any, named: str
) -> None:
    """400 that names the member, and nothing was done."""
    refused = world.operator.request(method, path.format("victim"), json=body, valid=False)
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert named in refused.json["detail"]
    assert world.state("victim")["revocation"] is None


@pytest.mark.parametrize(("method", "path"), [*ACTS, *EVERYONE])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("dry_run=yes", "`dry_run` in the query must be true or false"),
        ("dry_run=", "`dry_run` in the query must be true or false"),
        ("dry-run=true", "did you mean `dry_run`?"),
        ("dry_run=true&dry_run=false", "each name once"),
    ],
)
def test_a_query_that_does_not_fit(
    world: World, method: str, path: str, query: str, named: str
) -> None:
    """A rehearsal that is misspelt is not done in earnest."""
    refused = world.operator.request(method, path.format("victim"), query=query, valid=False)
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert named in refused.json["detail"]
    assert world.state("victim")["revocation"] is None


@pytest.mark.parametrize(("method", "path"), WITH_BODY)
def test_a_reason_has_its_place(world: World, method: str, path: str) -> None:
    """It is in the body where there is one, and nowhere else."""
    refused = world.operator.request(
        method, path.format("victim"), query={"reason": "spam"}, valid=False
    )
    assert refused.code == "malformed_request"


@pytest.mark.parametrize(("method", "path"), WITHOUT_BODY)
def test_deletion_takes_no_body(world: World, method: str, path: str) -> None:
    """A body would not be read by every proxy: it is refused rather than left unread."""
    refused = world.operator.request(
        method, path.format("victim"), json={"reason": "spam"}, valid=False
    )
    assert refused.code == "malformed_request"


@pytest.mark.parametrize(("method", "path"), OF_USERS)
@pytest.mark.parametrize("user_id", ["John", "a.b", "x" * 256, "a%20b", "a%0A", "a%00", "j%C3%B6"])
def test_an_illegal_id_is_nobody(world: World, method: str, path: str, user_id: str) -> None:
    """422 that tells the rule."""
    refused = world.operator.request(method, path.format(user_id), valid=False)
    assert (refused.status, refused.code) == (422, "user_id_invalid")
    assert "a-z" in refused.json["detail"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "suspended=1", "after=%00", "page=2", "suspended=true&x="],
)
def test_a_list_that_is_asked_for_wrongly(world: World, query: str) -> None:
    """400, also for what the database could not hold."""
    assert world.operator.get("/v1/users", query=query, valid=False).code == "malformed_request"


def test_the_order_of_refusals(world: World, powerless: Client) -> None:
    """First the shape, then the credential, then the scope, then the id, then what stands."""
    path = "/v1/users/John/revocations/none"
    nobody = Client(world.service.base_url)
    assert nobody.request("DELETE", path, query="x=1", valid=False).code == "malformed_request"
    assert nobody.request("DELETE", path, valid=False).code == "credentials_missing"
    assert powerless.request("DELETE", path, valid=False).code == "insufficient_scope"
    assert world.operator.request("DELETE", path, valid=False).code == "user_id_invalid"
    path = path.replace("John", "john")
    assert world.operator.request("DELETE", path, valid=False).code == "not_found"


@pytest.mark.parametrize(
    "prefer",
    ["wait", "wait=x", "wait=-1", "wait=0", "wait=99999", "handling=strict", "", "a;wait=5"],
)
def test_a_wish_that_is_not_understood_is_none(world: World, prefer: str) -> None:
    """`Prefer` never makes a request fail (RFC 7240 section 2)."""
    answer = world.revoke("wishful", headers={"Prefer": prefer})
    assert answer.status == 200
    assert "Preference-Applied" not in answer.headers
