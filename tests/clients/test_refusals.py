"""Refusals of `/v1/clients` on a running service, which change nothing."""

from typing import Any

import pytest

from testing.http_client import Client
from tests.clients.conftest import CLIENTS, World

GRANTS = [
    ("POST", "", {"name": "x", "scopes": ["tokens:mint", "keys:write"]}, "keys:write"),
    ("POST", "", {"name": "x", "scopes": ["tokens:mint"], "vouches": True}, "vouching"),
    ("PATCH", "/svc.manager", {"scopes": ["clients:write", "audit:read"]}, "audit:read"),
    ("PATCH", "/svc.manager", {"vouches": True}, "vouching"),
]


@pytest.mark.sec(47)
@pytest.mark.parametrize(("method", "path", "body", "missing"), GRANTS)
def test_rights_that_the_caller_lacks_are_not_granted(
    world: World, method: str, path: str, body: Any, missing: str
) -> None:
    """Not to other clients and not to itself; a refused request changes nothing."""
    before = world.manager.get(CLIENTS, query={"limit": 200}).json
    refused = world.manager.request(method, CLIENTS + path, json=body)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert missing in refused.json["detail"]
    assert world.manager.get(CLIENTS, query={"limit": 200}).json == before


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
def test_route_without_credential_gets_401_and_without_scope_403(
    world: World, method: str, path: str
) -> None:
    body = {"name": "x", "scopes": ["tokens:mint"]} if (method, path) == ("POST", "") else None
    mint = world.create(f"weak-{ROUTES.index((method, path))}", "tokens:mint")
    weak = world.client_of(mint["id"], mint["secret"]).request(method, CLIENTS + path, json=body)
    assert (weak.status, weak.code) == (403, "insufficient_scope")
    anonymous = Client(world.service.base_url).request(method, CLIENTS + path, json=body)
    assert (anonymous.status, anonymous.code) == (401, "credentials_missing")
    assert world.manager.get(f"{CLIENTS}/svc.manager").status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
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
        ("POST", "/svc.manager/secrets", {"expires_at": 0}, "in the past"),
        ("POST", "/svc.manager/secrets", {"expires_at": 10**18}, "expires_at"),
        ("POST", "/svc.manager/secrets", {"expires_at": -1}, "expires_at"),
        ("POST", "/svc.manager/secrets", {"expires_at": 4e9}, "expires_at"),
        ("POST", "/svc.manager/secrets?expires_at=4000000000", {}, "no query parameters"),
        ("DELETE", "/svc.manager?dry_run=true", None, "dry_run"),
        ("GET", "?limit=0", None, "limit"),
        ("GET", "?after=%00", None, "after"),
    ],
)
def test_invalid_member_is_named_and_nothing_is_stored(
    world: World, method: str, path: str, body: Any, expected: str
) -> None:
    before = world.manager.get(CLIENTS, query={"limit": 200}).json
    path, _, query = path.partition("?")
    refused = world.manager.request(
        method, CLIENTS + path, query=query or None, json=body, valid=False
    )
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert expected in refused.json["detail"]
    assert world.manager.get(CLIENTS, query={"limit": 200}).json == before


@pytest.mark.parametrize("client_id", ["svc.unknown", "svc.", "manager", "john", "svc.%00", "%ff"])
def test_unknown_client_or_secret_gets_404(world: World, client_id: str) -> None:
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/secrets"),
        ("DELETE", "/secrets/sec_0123456789abcdef"),
    ):
        response = world.manager.request(method, f"{CLIENTS}/{client_id}{path}")
        assert (response.status, response.code) == (404, "not_found")
    for secret_id in ("sec_0123456789abcdef", "%00", "x"):
        path = f"{CLIENTS}/svc.manager/secrets/{secret_id}"
        assert world.manager.request("DELETE", path).code == "not_found"
