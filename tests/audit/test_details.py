"""The details of an event contain what a restore needs to apply the action again."""

import pytest

from testing.accounts import NEW_PASSWORD, AccountParts
from testing.service_clients import OPERATOR, administration_of, make_client
from tests.stream.keys.ring import OTHER_SECRET, add, rotation_of
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.revocations.clock_faults import ClockFaults

CONTEXT = ActionContext("cli:test")


@pytest.fixture
def parts(database, clock):
    return AccountParts(database, clock)


def details(trail, action):
    (event,) = trail.page(limit=10, filters={"action": action})
    return event.details


def test_action_that_moves_a_cut_off_names_it(parts, trail):
    parts.sign_up("ada")
    parts.sign_up("bob")
    code = parts.codes.create_reset_code("bob", CONTEXT).code
    parts.codes.reset_password("bob", code, NEW_PASSWORD, lambda: None)
    parts.accounts.delete("ada", CONTEXT)
    for target, action in {
        APP: "app:revoked",
        Target("eve"): "user:revoked",
        Target("ada"): "account:deleted",
        Target("bob"): "password:reset",
    }.items():
        if action.endswith("revoked"):
            parts.revocations.revoke(target, CONTEXT)
        latest = parts.revocations.state(target).revocation
        found = details(trail, action)
        assert found["revocation"] == latest.id
        # The confirmation may move it, if a second ended before the commit.
        assert 0 <= latest.tokens_valid_after - found["tokens_valid_after"] <= 60


def test_undo_names_the_revocation(parts, trail):
    revoked = parts.revocations.revoke(Target("eve"), CONTEXT).revocation.id
    parts.revocations.undo(Target("eve"), revoked, CONTEXT)
    assert details(trail, "user:revocation_undone") == {"revocation": revoked}


def test_lowered_floor_is_named(parts, trail, clock):
    clock.now += 3600
    parts.revocations.revoke(Target("eve"), CONTEXT)
    clock.now -= 3600
    ClockFaults(parts.database, parts.now).lower(Target("eve"), CONTEXT)
    if parts.database.dialect == "sqlite":
        assert details(trail, "user:floor_lowered") == {"floor": int(clock.now) + 1}


def test_event_of_a_client_names_its_rights_and_the_secret(database, trail, clock):
    administration = administration_of(database, clock)
    created = make_client(database, "backend", "tokens:mint", "users:read")
    first = created.secrets[0].id
    rights_now = {"scopes": ["tokens:mint", "users:read"], "vouches": False}
    assert details(trail, "client:created") == rights_now | {"secret": first}
    administration.change(created.id, ["tokens:mint"], vouches=True, administrator=OPERATOR)
    assert details(trail, "client:changed") == {
        "scopes": ["tokens:mint"],
        "vouches": True,
        "vouches_changed": True,
        "withdrawn": ["users:read"],
    }
    second = administration.add_secret(created.id, administrator=OPERATOR).id
    assert details(trail, "client_secret:added") == {"secret": second}
    administration.delete_secret(created.id, first, administrator=OPERATOR)
    assert details(trail, "client_secret:deleted") == {"secret": first}


def test_event_of_a_new_stream_key_names_its_api_key(database, trail, clock):
    add(database, "k1", "active")
    rotation_of(database, clock).add("k3", OTHER_SECRET.encode(), CONTEXT, check=False)
    assert details(trail, "stream_key:added") == {"api_key": "k3", "state": "standby"}
