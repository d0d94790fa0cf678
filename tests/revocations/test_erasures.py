"""Erasure over HTTP: the ID is refused permanently, and the user is deleted here and at Stream."""

import json

import pytest
import sqlalchemy as sa

from testing.accounts import PASSWORD
from testing.doubles.stream_calls import dial
from testing.http_client import Client
from testing.world import World, minted, running_world

ROWS = ("accounts", "codes", "addresses", "sessions", "profiles")


@pytest.fixture(scope="module")
def own_world(tmp_path_factory: pytest.TempPathFactory):
    """Yield a service with built-in accounts."""
    folder = tmp_path_factory.mktemp("erasures")
    settings = {
        "TOKENSVC_ACCOUNTS__ENABLED": "true",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
        "TOKENSVC_ISSUERS": "[]",
        "TOKENSVC_SHARED_USER_IDS": "false",
    }
    with running_world(folder, **settings) as running:
        yield running


def account(world: World, user_id: str) -> Client:
    """Sign a user up and in."""
    body = {"user_id": user_id, "password": PASSWORD}
    profile = {"user": {"id": user_id, "name": user_id.title()}}
    assert world.anonymous.post("/v1/accounts", json={**body, **profile}).status == 201
    signed_in = world.anonymous.post("/v1/sessions", json=body).json
    token = {"Authorization": f"Bearer {signed_in['access_token']}"}
    return Client(world.service.base_url, token)


def stored(world: World, user_id: str) -> list[str]:
    """Return the tables with a row that names a user."""
    with world.database.read() as connection:
        found = []
        for name in sa.inspect(connection).get_table_names():
            rows = connection.exec_driver_sql(f'SELECT * FROM "{name}"').mappings()
            if any(user_id in map(str, row.values()) for row in rows):
                found.append(name)
    return sorted(found)


@pytest.mark.sec(33)
def test_erased_user_is_refused_everywhere(own_world: World) -> None:
    """With each kind of credential, here and at Stream, whatever an operator does."""
    world, user_id = own_world, "erin"
    user = account(world, user_id)
    token = minted(user).json
    with dial(world.stream, token["token"], api_key=token["api_key"], user_id=user_id) as socket:
        assert "error" not in json.loads(socket.recv())
    state = world.erase(user_id, query={"reason": "requested by mail"}).json
    assert (state["suspended"], state["holds_until"]) == (True, "never")
    assert state["reason"] == "requested by mail"
    assert state["erasure"]["requested_at"] == state["revocation"]["created_at"]
    for refused in (
        user.post("/v1/token"),
        user.get("/v1/me"),
        user.request("PATCH", "/v1/me", json={"user": {"id": user_id, "name": "E"}}),
        world.vouching.post("/v1/token", json={"user_id": user_id}),
        world.operator.request("PUT", f"/v1/users/{user_id}/profile", json={"id": user_id}),
    ):
        assert (refused.status, refused.code) == (403, "user_erased")
    assert (world.reinstate(user_id).status, world.reinstate(user_id).code) == (409, "user_erased")
    undone = world.undo(user_id, state["revocation"]["id"])
    assert (undone.status, undone.code) == (409, "user_erased")
    again = {"user_id": user_id, "password": PASSWORD}
    assert world.anonymous.post("/v1/accounts", json=again).code == "user_id_taken"
    assert world.anonymous.post("/v1/sessions", json=again).code == "credentials_invalid"
    created = world.command("accounts", "create", user_id, stdin=PASSWORD)
    assert (created.code, "was erased" in created.err) == (1, True)
    world.wait_for_erasure(user_id)
    with dial(world.stream, token["token"], api_key=token["api_key"], user_id=user_id) as socket:
        assert json.loads(socket.recv())["error"]["code"] == 16


def test_erasure_deletes_what_is_stored_here(own_world: World) -> None:
    """What refuses the ID stays, and the audit trail."""
    world, user_id = own_world, "frida"
    account(world, user_id)
    world.make_stream_user(user_id)
    before = stored(world, user_id)
    assert {"sessions", "profiles", "known_addresses", "accounts"} <= set(before)
    dry = world.erase(user_id, query={"dry_run": True}).json
    assert dry["dry_run"] is True
    assert dry["erased"] == {**dict.fromkeys(ROWS, 1), "codes": 0}
    assert dry["at_stream"] == {"user": "hard", "messages": "hard", "conversations": "hard"}
    assert stored(world, user_id) == before
    assert world.state(user_id)["erasure"] is None
    done = world.erase(user_id).json
    assert (done["erased"], "dry_run" in done) == (dry["erased"], False)
    world.wait_for_erasure(user_id)
    assert stored(world, user_id) == [
        *("accounts", "audit_events", "deliveries", "revocations", "user_standings")
    ]
    assert set(world.erase(user_id).json["erased"].values()) == {0}
    events = world.operator.get("/v1/audit", query={"subject": user_id}).json["items"]
    erasures = [event for event in events if "eras" in event["action"]]
    assert [(event["action"], event["actor"]) for event in erasures] == [
        ("user:erasure_done", "service:delivery"),
        ("user:erased", "svc.operator"),
    ]


def test_user_without_a_trace_can_be_erased(world: World) -> None:
    """The ID is refused before its user ever comes."""
    state = world.erase("nobody-yet").json
    assert set(state["erased"]) == set(ROWS)
    assert state["erasure"]["state"] == "pending"
    assert minted(world.signed_in("nobody-yet", at=state["tokens_valid_after"] + 2)).code == (
        "user_erased"
    )


def test_user_whom_a_previous_release_has_reinstated_stays_erased(world: World) -> None:
    """It knows only the suspension."""
    world.set_standing("reinstated", erased_at=1)
    assert world.vouching.post("/v1/token", json={"user_id": "reinstated"}).code == "user_erased"


def test_erasure_needs_its_scope(world: World) -> None:
    almost = world.client_with("almost", "users:write", "revocations:write", "accounts:write")
    refused = almost.request("DELETE", "/v1/users/ada-the-first")
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert "users:erase" in refused.json["detail"]
    assert world.state("ada-the-first")["erasure"] is None


def test_user_erases_the_own_account(own_world: World) -> None:
    """With `erase=true`; without it, the user stays at Stream."""
    world = own_world
    for user_id, query in (("gina", {"erase": True}), ("hugo", {})):
        user = account(world, user_id)
        world.make_stream_user(user_id)
        assert user.request("DELETE", "/v1/me", query=query).status == 204
    assert world.wait_for_erasure("gina")["last_error"] is None
    assert world.stream.app.users["gina"]["deleted_at"]
    assert world.state("hugo")["erasure"] is None
    assert "deleted_at" not in world.stream.app.users["hugo"]
    events = world.operator.get("/v1/audit", query={"subject": "gina"}).json["items"]
    assert {("account:deleted", "gina"), ("user:erased", "gina")} <= {
        (event["action"], event["actor"]) for event in events
    }


def test_service_that_deletes_an_account_needs_another_scope_to_erase(own_world: World) -> None:
    world, path = own_world, "/v1/accounts/ines"
    account(world, "ines")
    deleting = world.client_with("deleting", "accounts:write")
    refused = deleting.request("DELETE", path, query={"erase": True})
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    erasing = world.client_with("erasing", "accounts:write", "users:erase")
    assert erasing.request("DELETE", path, query={"erase": True}).status == 204
    assert world.state("ines")["erasure"] is not None


def test_commands_erase_and_show_the_progress(own_world: World) -> None:
    world = own_world
    account(world, "jana")
    world.make_stream_user("jana")
    dry = world.command("users", "erase", "jana", "--dry-run")
    assert "Dry run" in dry.out
    assert "sessions   1" in dry.out
    assert world.state("jana")["erasure"] is None
    done = world.command("users", "erase", "jana", "--reason", "mail of 2 May")
    assert done.code == 0
    assert "The user is refused until never" not in done.out
    world.wait_for_erasure("jana")
    shown = world.command("users", "show", "jana").out
    assert "erasure" in shown
    assert "done" in shown
    account(world, "kurt")
    deleted = world.command("accounts", "delete", "kurt", "--erase", "--json")
    assert json.loads(deleted.out) == {"deleted": "kurt", "erased": True}
    assert world.state("kurt")["erasure"] is not None
