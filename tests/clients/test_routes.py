"""`/v1/clients` on a running service of two workers."""

import pytest

from tests.clients.conftest import CLIENTS, World


@pytest.mark.sec(47)
def test_new_client_mints_and_only_its_creation_shows_the_secret(world: World) -> None:
    response = world.manager.post(CLIENTS, json={"name": "shop", "scopes": ["tokens:mint"]})
    assert response.status == 201
    assert response.headers["Location"] == "/v1/clients/svc.shop"
    created = response.json
    assert created["vouches"] is False
    assert world.mint_everywhere("svc.shop", created["secret"]) == {200}

    found = world.manager.get(response.headers["Location"])
    assert found.json == {name: value for name, value in created.items() if name != "secret"}
    (secret,) = found.json["secrets"]
    assert (secret["expires_at"], secret["last_used_at"]) == (None, None)
    assert created["secret"] not in found.text


def test_pages_list_each_client_once(world: World) -> None:
    created = {world.create(f"listed-{n}", "tokens:mint")["id"] for n in range(3)}
    pages = world.manager.pages(CLIENTS, limit=2)
    assert max(len(page) for page in pages) == 2
    seen = [client["id"] for page in pages for client in page]
    assert created <= set(seen)
    assert seen == sorted(set(seen))


@pytest.mark.sec(47)
def test_withdrawn_scope_is_refused_after_the_response(world: World) -> None:
    """Every worker refuses it, and grants it again once it is restored."""
    created = world.create("shrunk", "tokens:mint", "clients:write")
    client_id, secret = created["id"], created["secret"]
    path = f"{CLIENTS}/{client_id}"
    changed = world.manager.request("PATCH", path, json={"scopes": ["clients:write"]})
    assert (changed.status, changed.json["scopes"]) == (200, ["clients:write"])
    assert world.mint_everywhere(client_id, secret) == {403}
    again = world.manager.request("PATCH", path, json={"scopes": ["clients:write"]})
    assert again.json == changed.json | {"secrets": again.json["secrets"]}
    world.manager.request("PATCH", path, json={"scopes": ["clients:write", "tokens:mint"]})
    assert world.mint_everywhere(client_id, secret) == {200}


@pytest.mark.sec(47)
def test_rotation_has_no_gap(world: World) -> None:
    """Both secrets work on every worker until the old one is deleted."""
    created = world.create("rotated", "tokens:mint")
    client_id, old = created["id"], created["secret"]
    path = f"{CLIENTS}/{client_id}/secrets"
    added = world.manager.post(path)
    assert added.status == 201
    shown = world.manager.get(added.headers["Location"])
    assert added.json["id"] in {secret["id"] for secret in shown.json["secrets"]}
    new = added.json["secret"]
    assert world.mint_everywhere(client_id, old) | world.mint_everywhere(client_id, new) == {200}

    third = world.manager.post(path)
    assert (third.status, third.code) == (409, "conflict")
    for secret_id in (created["secrets"][0]["id"], added.json["id"]):
        assert secret_id in third.json["detail"]

    assert world.manager.request("DELETE", f"{path}/{created['secrets'][0]['id']}").status == 204
    assert world.mint_everywhere(client_id, old) == {401}
    assert world.mint_everywhere(client_id, new) == {200}
    (left,) = world.manager.get(f"{CLIENTS}/{client_id}").json["secrets"]
    assert left["id"] == added.json["id"]


@pytest.mark.sec(47)
def test_deleted_client_gets_401_after_the_response(world: World) -> None:
    created = world.create("doomed", "tokens:mint", "clients:write")
    path = f"{CLIENTS}/{created['id']}"
    assert world.manager.request("DELETE", path).status == 204
    assert world.mint_everywhere(created["id"], created["secret"]) == {401}
    assert world.manager.request("DELETE", path).code == "not_found"


def test_expiry_of_a_secret_is_listed(world: World) -> None:
    created = world.create("ending", "tokens:mint")
    path = f"{CLIENTS}/{created['id']}"
    assert world.manager.post(f"{path}/secrets", json={"expires_at": 4_000_000_000}).status == 201
    secrets = world.manager.get(path).json["secrets"]
    assert {secret["expires_at"] for secret in secrets} == {None, 4_000_000_000}


@pytest.mark.sec(59)
def test_audit_event_has_actor_request_and_reason(world: World) -> None:
    """A refused request leaves no event."""
    response = world.manager.post(
        CLIENTS, json={"name": "traced", "scopes": ["tokens:mint"], "reason": "a new shop"}
    )
    event = world.events()[0]
    assert (event.actor, event.action, event.subject, event.outcome) == (
        *("svc.manager", "client:created", "svc.traced", "ok"),
    )
    assert event.request_id == response.headers["X-Request-Id"]
    assert event.reason == "a new shop"
    deletion = world.manager.request(
        "DELETE", f"{CLIENTS}/svc.traced", query={"reason": "it was a test"}
    )
    event = world.events()[0]
    assert (event.action, event.reason) == ("client:deleted", "it was a test")
    assert event.request_id == deletion.headers["X-Request-Id"]
    world.manager.request("DELETE", f"{CLIENTS}/svc.traced")
    assert world.events()[0] == event


@pytest.mark.sec(47, 59)
def test_log_and_audit_trail_contain_no_secret(world: World) -> None:
    created = world.create("silent", "tokens:mint")
    added = world.manager.post(f"{CLIENTS}/{created['id']}/secrets").json
    kept = world.service.log_path.read_text() + repr(world.events())
    assert created["secret"] not in kept
    assert added["secret"] not in kept
    assert added["id"] in kept
