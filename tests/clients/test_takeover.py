"""A client that changes, deletes or recreates another gains nothing, over HTTP."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from testing.http_client import Client
from testing.service_clients import OPERATOR, administration_of, make_client
from tests.clients.conftest import CLIENTS, World
from tokensvc.clients.state import NewServiceClient

IN_AN_HOUR = 3600

pytestmark = pytest.mark.sec(67)


@pytest.fixture
def strong(world: World) -> Iterator[NewServiceClient]:
    """Yield a client with rights that the manager lacks."""
    created = make_client(world.database, "strong", "tokens:mint", "keys:write", vouches=True)
    yield created
    administration_of(world.database).delete(created.id, administrator=OPERATOR)


@pytest.fixture
def expiring(world: World) -> tuple[Client, int]:
    """Return the manager with a secret that expires, and that time."""
    administration = administration_of(world.database)
    for secret in world.manager.get(f"{CLIENTS}/svc.manager").json["secrets"]:
        if secret["expires_at"] is not None:
            administration.delete_secret("svc.manager", secret["id"], administrator=OPERATOR)
    ends_at = int(time.time()) + IN_AN_HOUR
    added = administration.add_secret("svc.manager", ends_at, administrator=OPERATOR)
    return world.client_of("svc.manager", added.secret), ends_at


ATTACKS: list[tuple[str, str, Any]] = [
    ("PATCH", "", {"scopes": ["tokens:mint"]}),
    ("PATCH", "", {"vouches": False}),
    ("PATCH", "", {}),
    ("DELETE", "", None),
    ("POST", "/secrets", {}),
    ("DELETE", "/secrets/{secret}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ATTACKS)
def test_stronger_client_is_neither_changed_nor_deleted(
    world: World, strong: NewServiceClient, method: str, path: str, body: Any
) -> None:
    """The refusal names the missing rights; the log has one line with the reason."""
    before = world.manager.get(f"{CLIENTS}/{strong.id}").json
    path = f"{CLIENTS}/{strong.id}" + path.format(secret=strong.secrets[0].id)
    number = len(world.service.log_lines())
    refused = world.manager.request(method, path, json=body)
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert "missing: keys:write, vouching for users" in refused.json["detail"]
    (line,) = [line for line in world.service.log_lines()[number:] if "route" in line]
    assert line["client_id"] == "svc.manager"
    assert line["reason"] == "missing: keys:write, vouching for users"
    assert world.manager.get(f"{CLIENTS}/{strong.id}").json == before
    assert world.mint(strong.id, strong.secret).status == 200


def test_recreated_client_gets_another_id(world: World) -> None:
    """The trail and the old credentials belong to the deleted client only."""
    first = world.create("reborn", "tokens:mint")
    assert first["id"] == "svc.reborn"
    assert world.manager.request("DELETE", f"{CLIENTS}/svc.reborn").status == 204
    second = world.create("reborn", "tokens:mint")
    assert second["id"].startswith("svc.reborn-")
    assert world.mint("svc.reborn", second["secret"]).status == 401
    assert world.mint("svc.reborn", first["secret"]).status == 401
    assert world.mint(second["id"], second["secret"]).status == 200
    subjects = [event.subject for event in world.events() if event.action == "client:created"]
    assert subjects[:2] == [second["id"], "svc.reborn"]


@pytest.mark.parametrize("later", [None, 1, 10**9])
def test_secret_that_outlives_the_callers_is_refused(
    world: World, expiring: tuple[Client, int], later: int | None
) -> None:
    caller, ends_at = expiring
    created = world.create(f"outliving-{later}", "tokens:mint")
    expires_at = None if later is None else ends_at + later
    number = len(world.service.log_lines())
    refused = caller.post(f"{CLIENTS}/{created['id']}/secrets", json={"expires_at": expires_at})
    assert (refused.status, refused.code) == (400, "malformed_request")
    assert f"at most {ends_at}" in refused.json["detail"]
    (line,) = [line for line in world.service.log_lines()[number:] if "route" in line]
    assert line["reason"] == "the secret would outlive the caller's"
    assert len(world.manager.get(f"{CLIENTS}/{created['id']}").json["secrets"]) == 1


def test_secret_expires_with_the_callers_unless_earlier(
    world: World, expiring: tuple[Client, int]
) -> None:
    """A new client's first secret does, too."""
    caller, ends_at = expiring
    created = caller.post(CLIENTS, json={"name": "brief", "scopes": ["clients:write"]}).json
    (first,) = created["secrets"]
    assert first["expires_at"] == ends_at
    path = f"{CLIENTS}/{created['id']}/secrets"
    # The new client's secret ends as well, so that it cannot pass on more than it has.
    brief = world.client_of(created["id"], created["secret"])
    second = brief.post(path).json
    assert second["expires_at"] == ends_at
    assert world.manager.request("DELETE", f"{path}/{second['id']}").status == 204
    earlier = brief.post(path, json={"expires_at": ends_at - 1}).json
    assert earlier["expires_at"] == ends_at - 1


def test_secret_of_a_caller_without_expiry_does_not_expire(world: World) -> None:
    created = world.create("lasting", "tokens:mint")
    added = world.manager.post(f"{CLIENTS}/{created['id']}/secrets").json
    assert (created["secrets"][0]["expires_at"], added["expires_at"]) == (None, None)


def test_trail_names_who_added_a_secret(world: World) -> None:
    created = world.create("watched", "tokens:mint")
    added = world.manager.post(f"{CLIENTS}/{created['id']}/secrets").json
    event = world.events()[0]
    assert (event.actor, event.action, event.subject) == (
        *("svc.manager", "client_secret:added", created["id"]),
    )
    assert event.details["secret"] == added["id"]
