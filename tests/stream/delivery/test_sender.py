"""The calls that reach Stream: their content, number and order."""

import sqlite3
import threading

import pytest
import sqlalchemy as sa

from testing.database_kinds import on_both
from testing.refused_writes import refuse_writes
from tests.stream.delivery.conftest import CONTEXT, CUT_OFF, KEY
from tokensvc.core.errors import Refusal
from tokensvc.stream.api import rfc3339

APP, CHANGE, FIND = "PATCH /app", "PATCH /users", "GET /users"


@on_both
def test_revocation_reaches_stream_once(world):
    """One call with the cut-off, then none."""
    world.have("ada")
    cut_off = world.revoke("ada")
    assert world.state("user", "ada") == "pending"
    assert world.deliver() == 1
    assert world.at_stream("ada") == cut_off
    assert world.state("user", "ada") == "applied"
    assert world.row("user", "ada").applied_version == world.row("user", "ada").version
    assert world.routes() == [CHANGE]
    world.pass_time(3600)
    assert world.deliver() == 0


def test_undo_removes_the_cut_off(world):
    world.have("ada")
    world.revoke("ada")
    world.deliver()
    world.undo("ada")
    world.deliver()
    assert world.at_stream("ada") is None
    assert CUT_OFF in world.stream.app.users["ada"]
    assert world.state("user", "ada") == "applied"


@on_both
def test_app_revocation_and_its_undo_change_the_app(world):
    cut_off = world.revoke(None)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] == cut_off
    world.undo(None)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] is None
    assert world.state("app") == "applied"


def test_state_is_delivered_without_replaying_actions(world):
    """Eleven actions before the first call are one call with the latest state."""
    world.have("ada")
    for _ in range(5):
        world.revoke("ada")
        world.undo("ada")
    cut_off = world.revoke("ada")
    world.deliver()
    assert world.routes() == [CHANGE]
    assert world.at_stream("ada") == cut_off


def test_app_goes_before_users_and_users_before_profiles(world):
    world.have("ada")
    world.deliveries.set_profile("ada", {"id": "ada", "name": "Ada"}, "svc.backend")
    world.revoke("ada")
    world.revoke(None)
    world.deliver()
    assert world.routes() == [APP, CHANGE, FIND, CHANGE]


def test_call_contains_at_most_100_users(world):
    users = [f"u{number}" for number in range(250)]
    world.have(*users)
    world.revoke_each(*users)
    world.deliver()
    calls = world.stream.calls.to("PATCH", "/users")
    assert sorted(len(call.json["users"]) for call in calls) == [50, 100, 100]
    assert all(world.at_stream(user_id) for user_id in users)


@on_both
def test_refused_user_fails_alone(world):
    """A refused batch is released, and the next one is half as large until the user is alone."""
    users = [f"u{number}" for number in range(100)]
    world.have(*users)
    world.stream.app.unchangeable = {"u17", "u64"}
    world.revoke_each(*users)
    world.deliver()
    states = world.states("user", users)
    assert {user_id for user_id in users if states[user_id] == "failed"} == {"u17", "u64"}
    assert set(states.values()) == {"failed", "applied"}
    assert "cannot be changed" in world.row("user", "u17").last_error
    assert len(world.routes()) < 60


def test_batches_grow_again_after_success(world):
    """After a refusal the batches have 1, 2, 4, … users up to 100."""
    world.have("bad", *(f"u{number}" for number in range(251)))
    world.stream.app.unchangeable = {"bad"}
    for user_id in ("bad", "u0"):
        world.revoke(user_id)
    world.deliver()
    world.stream.calls.clear()
    world.revoke_each(*(f"u{number}" for number in range(1, 251)))
    world.deliver()
    calls = [call.json["users"] for call in world.stream.calls.to("PATCH", "/users")]
    sizes = [len(users) for users in calls if users[0]["id"] != "bad"]
    assert sizes == [2, 4, 8, 16, 32, 64, 100, 24]


def test_refused_action_is_retried_at_least_hourly(world):
    world.have("ada")
    world.stream.app.unchangeable = {"ada"}
    world.revoke("ada")
    for _ in range(20):
        world.stream.calls.clear()
        world.deliver()
        assert CHANGE in world.routes()
        assert world.state("user", "ada") == "failed"
        world.pass_time(3601)
    world.stream.app.unchangeable = set()
    world.deliver()
    assert world.state("user", "ada") == "applied"
    assert world.row("user", "ada").last_error is None


def test_absent_users_are_found_with_one_query_and_asked_again(world):
    """One query for the batch, then one every 10 s; a user who appears gets the cut-off."""
    world.have("ada")
    for user_id in ("ada", "bob", "eve"):
        world.revoke(user_id)
    world.deliver()
    assert world.routes() == [CHANGE, FIND, CHANGE]
    assert world.state("user", "ada") == "applied"
    assert world.state("user", "bob") == world.state("user", "eve") == "absent"
    for _ in range(3):
        world.stream.calls.clear()
        world.pass_time(10)
        world.deliver()
        assert world.routes() == [FIND]
    world.have("bob")
    world.pass_time(10)
    world.deliver()
    assert world.state("user", "bob") == "applied"
    assert world.at_stream("bob") is not None
    assert world.state("user", "eve") == "absent"


def test_absent_user_is_asked_for_once_a_minute_after_ten_minutes(world):
    world.revoke("bob")
    world.deliver()
    world.pass_time(600)
    world.deliver()
    world.stream.calls.clear()
    early = world.almost(60)
    world.pass_time(early)
    world.deliver()
    assert world.routes() == []
    world.pass_time(60 - early)
    world.deliver()
    assert world.routes() == [FIND]


@on_both
def test_delivery_is_obsolete_when_all_earlier_tokens_have_expired(world):
    world.revoke("bob")
    world.deliver()
    world.pass_time(7 * 24 * 3600 - 60)
    world.deliver()
    assert world.state("user", "bob") == "absent"
    world.pass_time(61)
    world.deliver()
    assert world.state("user", "bob") == "obsolete"
    world.pass_time(3600)
    assert world.deliver() == 0
    world.revoke("bob")
    world.deliver()
    assert world.state("user", "bob") == "absent"


def test_undo_for_an_absent_user_is_obsolete_immediately(world):
    """A user who is created later has no cut-off, as wanted."""
    world.revoke("bob")
    world.undo("bob")
    world.deliver()
    assert world.state("user", "bob") == "obsolete"


@on_both
def test_two_senders_send_each_user_once(world):
    users = [f"u{number}" for number in range(300)]
    world.have(*users)
    world.revoke_each(*users)
    senders = [world.sender, world.another_sender()]
    threads = [threading.Thread(target=world.deliver, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = world.stream.calls.to("PATCH", "/users")
    sent = [user["id"] for call in calls for user in call.json["users"]]
    assert sorted(sent) == sorted(users)
    assert {*world.states("user", users).values()} == {"applied"}


def test_long_ids_are_found_in_several_queries(world):
    """A hundred ids of 255 characters do not fit into one URL."""
    users = [f"{number:03}" + "x" * 252 for number in range(100)]
    world.have(*users[::2])
    world.revoke_each(*users)
    for _ in range(3):
        world.deliver()
        world.pass_time(10)
    assert {*world.states("user", users[::2]).values()} == {"applied"}
    assert {*world.states("user", users[1::2]).values()} == {"absent"}
    queries = world.stream.calls.to("GET", "/users")
    assert len(queries) > 1
    assert max(len(call.target) for call in queries) < 8000


def test_deactivated_user_gets_the_cut_off(world):
    """The user may be reactivated, with tokens from before the cut-off."""
    world.have("ada")
    world.stream.app.users["ada"]["deactivated_at"] = "2026-01-02T03:04:05Z"
    world.revoke("ada")
    world.revoke("bob")
    world.deliver()
    assert world.state("user", "ada") == "applied"
    assert world.at_stream("ada") is not None


def test_call_is_signed_by_the_server_token_of_the_active_key(world):
    world.revoke(None)
    world.deliver()
    (call,) = world.stream.calls.all()
    assert call.query == {"api_key": KEY}
    assert call.facts["server"] is True


def test_suspension_is_sent_as_a_cut_off(world):
    """Reinstatement sends nothing."""
    world.have("ada")
    state = world.revocations.suspend("ada", CONTEXT)
    world.deliver()
    assert world.at_stream("ada") == rfc3339(state.tokens_valid_after)
    world.revocations.reinstate("ada", CONTEXT)
    assert world.deliver() == 0


@on_both
@pytest.mark.parametrize("kind", ["user", "app"])
def test_resend_restores_a_state_that_was_changed_at_stream(world, kind):
    world.have("ada")
    cut_off = world.revoke("ada" if kind == "user" else None)
    world.deliver()
    held = world.stream.app.users["ada"] if kind == "user" else world.stream.app.settings
    held[CUT_OFF] = None
    world.deliveries.resend(["ada", "unknown-user"], CONTEXT, app=kind == "app")
    world.deliver()
    held = world.stream.app.users["ada"] if kind == "user" else world.stream.app.settings
    assert held[CUT_OFF] == cut_off


@on_both
@pytest.mark.sec(59)
@pytest.mark.parametrize("named", [True, False])
def test_retry_without_its_audit_event_changes_nothing(world, named):
    world.have("ada")
    world.stream.app.unchangeable = {"ada"}
    world.revoke("ada")
    world.deliver()
    before = world.row("user", "ada")
    refuse_writes(world.database, "audit_events")
    with pytest.raises((sa.exc.DBAPIError, sqlite3.IntegrityError, Refusal)):
        if named:
            world.deliveries.resend(["ada"], CONTEXT, app=False)
        else:
            world.deliveries.retry(CONTEXT)
    assert world.row("user", "ada") == before
