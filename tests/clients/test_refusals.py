"""What `/v1/clients` refuses on a running service, and that nothing comes of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from testing.http_client import Client
from testing.service_clients import make_client
from tests.clients.conftest import CLIENTS, World


@pytest.fixture
def strong(world: World) -> Iterator[str]:
    """Give a client that may do more than the manager."""
    made = make_client(world.database, "strong", "tokens:mint", "keys:write", vouches=True)
    yield made.id
    world.manager.request("DELETE", f"{CLIENTS}/{made.id}")


GRANTS = [
    ("POST", "", {"name": "x", "scopes": ["tokens:mint", "keys:write"]}, "keys:write"),
    ("POST", "", {"name": "x", "scopes": ["tokens:mint"], "vouches": True}, "vouching"),
    ("PATCH", "/svc.manager", {"scopes": ["clients:write", "audit:read"]}, "audit:read"),
    ("PATCH", "/svc.manager", {"vouches": True}, "vouching"),
    ("PATCH", "/svc.strong", {"scopes": ["tokens:mint", "app:write"]}, "app:write"),
    ("POST", "/svc.strong/secrets", {}, "keys:write, vouching"),
]


@pytest.mark.sec(47)
@pytest.mark.usefixtures("strong")
@pytest.mark.parametrize(("method", "path", "body", "lacking"), GRANTS)
def test_rights_do_not_grow(world: World, method: str, path: str, body: Any, lacking: str) -> None:
    """A client hands on only what it holds, to others and to itself; nothing comes of a refusal."""
    before = world.manager.get(CLIENTS, query={"limit": 200}).json
    refused = world.manager.request(method, CLIENTS + path, json=body)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert lacking in refused.json["detail"]
    assert world.manager.get(CLIENTS, query={"limit": 200}).json == before


@pytest.mark.sec(47)
@pytest.mark.parametrize("vouches", [True, False])
def test_what_a_stronger_client_has_may_stay_or_be_taken(
    world: World, strong: str, *, vouches: bool
) -> None:
    """To take away, or to leave as it is, hands nothing on."""
    body = {"scopes": ["keys:write"], "vouches": vouches}
    changed = world.manager.request("PATCH", f"{CLIENTS}/{strong}", json=body)
    assert (changed.status, changed.json["scopes"]) == (200, ["keys:write"])
    assert changed.json["vouches"] is vouches


ROUTES = [
    ("GET", ""),
    ("POST", ""),
    ("GET", "/svc.manager"),
    ("PATCH", "/svc.manager"),
    ("DELETE", "/svc.manager"),
    ("POST", "/svc.manager/secrets"),
    ("DELETE", "/svc.manager/secrets/sec_0123456789abcdef"),
]


@pytest.mark.sec(47)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_asks_for_the_scope(world: World, method: str, path: str) -> None:
    """Nobody without it reads or changes clients, and nobody at all without a credential."""
    body = {"name": "x", "scopes": ["tokens:mint"]} if (method, path) == ("POST", "") else None
    mint = world.create(f"weak-{ROUTES.index((method, path))}", "tokens:mint")
    weak = world.client_of(mint["id"], mint["secret"]).request(method, CLIENTS + path, json=body)
    assert (weak.status, weak.code) == (403, "insufficient_scope")
    stranger = Client(world.service.base_url).request(method, CLIENTS + path, json=body)
    assert (stranger.status, stranger.code) == (401, "credentials_missing")
    assert world.manager.get(f"{CLIENTS}/svc.manager").status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("POST", "", {}, "name"),
        ("POST", "", {"name": "x"}, "scopes"),
        ("POST", "", {"name": "", "scopes": ["tokens:mint"]}, "name"),
        ("POST", "", {"name": " ", "scopes": ["tokens:mint"]}, "1 to 100 printable"),
        ("POST", "", {"name": "a\u0000", "scopes": ["tokens:mint"]}, "1 to 100 printable"),
        ("POST", "", {"name": "x" * 101, "scopes": ["tokens:mint"]}, "name"),
        ("POST", "", {"name": "x", "scopes": []}, "scopes"),
        ("POST", "", {"name": "x", "scopes": ["tokens:burn"]}, "tokens:burn"),
        ("POST", "", {"name": "x", "scopes": "tokens:mint"}, "scopes"),
        ("POST", "", {"name": "x", "scope": ["tokens:mint"]}, "did you mean `scopes`?"),
        ("POST", "", {"name": "x", "scopes": ["tokens:mint"], "secret": "s" * 40}, "secret"),
        ("POST", "", {"name": "x", "scopes": ["tokens:mint"], "reason": "r" * 501}, "reason"),
        ("PATCH", "/svc.manager", {"scopes": []}, "scopes"),
        ("PATCH", "/svc.manager", {"scopes": None}, "scopes"),
        ("PATCH", "/svc.manager", {"vouches": "yes"}, "vouches"),
        ("PATCH", "/svc.manager", {"name": "other"}, "`name` is unknown"),
        ("POST", "/svc.manager/secrets", {"expires_at": 0}, "has passed"),
        ("POST", "/svc.manager/secrets", {"expires_at": 10**18}, "expires_at"),
        ("POST", "/svc.manager/secrets", {"expires_at": -1}, "expires_at"),
        ("POST", "/svc.manager/secrets", {"expires_at": 4e9}, "expires_at"),
        ("POST", "/svc.manager/secrets?expires_at=4000000000", {}, "in the query"),
        ("DELETE", "/svc.manager?dry_run=true", None, "dry_run"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?after=%00", None, "after"),
    ],
)
def test_bad_input_is_named(world: World, method: str, path: str, body: Any, told: str) -> None:
    """It says which member is wrong, and nothing is stored."""
    before = world.manager.get(CLIENTS, query={"limit": 200}).json
    path, _, query = path.partition("?")
    refused = world.manager.request(
        method, CLIENTS + path, query=query or None, json=body, valid=False
    )
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert told in refused.json["detail"]
    assert world.manager.get(CLIENTS, query={"limit": 200}).json == before


@pytest.mark.parametrize("client_id", ["svc.nobody", "svc.", "manager", "john", "svc.%00", "%ff"])
def test_what_is_not_there_is_not_found(world: World, client_id: str) -> None:
    """Whatever an id looks like."""
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/secrets"),
        ("DELETE", "/secrets/sec_0123456789abcdef"),
    ):
        answer = world.manager.request(method, f"{CLIENTS}/{client_id}{path}")
        assert (answer.status, answer.code) == (404, "not_found")
    for secret_id in ("sec_0123456789abcdef", "%00", "x"):
        path = f"{CLIENTS}/svc.manager/secrets/{secret_id}"
        assert world.manager.request("DELETE", path).code == "not_found"


def test_a_taken_name_is_a_conflict(world: World) -> None:
    """The client that has it is left as it was."""
    world.create("taken", "tokens:mint")
    answer = world.manager.post(CLIENTS, json={"name": "taken", "scopes": ["tokens:mint"]})
    assert (answer.status, answer.code) == (409, "conflict")
