"""What reaches Stream, in which order and in how many calls."""

import threading

import pytest
import sqlalchemy as sa

from testing.refused_writes import refuse_writes
from tests.delivery.conftest import CONTEXT, CUT_OFF, KEY
from tokensvc.core.errors import Refusal
from tokensvc.stream.api import rfc3339


def test_a_revocation_reaches_stream_once(world):
    """The cut-off of the standing, in one call; then Stream holds it and is left alone."""
    world.have("ada")
    cut_off = world.revoke("ada")
    assert world.state("user", "ada") == "pending"
    assert world.deliver() == 1
    assert world.at_stream("ada") == cut_off
    assert world.state("user", "ada") == "applied"
    assert world.row("user", "ada").applied_version == world.row("user", "ada").version
    assert world.routes() == ["PATCH /users"]
    world.pass_time(3600)
    assert world.deliver() == 0


def test_an_undo_takes_the_cut_off_away(world):
    """An undone act is a state like any other: Stream's cut-off is null again."""
    world.have("ada")
    world.revoke("ada")
    world.deliver()
    world.undo("ada")
    world.deliver()
    assert world.at_stream("ada") is None
    assert CUT_OFF in world.stream.app.users["ada"]
    assert world.state("user", "ada") == "applied"


def test_everyone_is_the_apps_cut_off(world):
    """An act against everyone goes to the app's settings, and so does its undo."""
    cut_off = world.revoke(None)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] == cut_off
    world.undo(None)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] is None
    assert world.state("app") == "applied"


def test_a_state_is_brought_over_and_no_event_replayed(world):
    """Ten acts before the first call are one call, with the last one's state."""
    world.have("ada")
    for _ in range(5):
        world.revoke("ada")
        world.undo("ada")
    cut_off = world.revoke("ada")
    world.deliver()
    assert world.routes() == ["PATCH /users"]
    assert world.at_stream("ada") == cut_off


def test_acts_go_before_profiles_and_everyones_first(world):
    """Whatever came first, the more urgent is sent first, also in the middle of a backlog."""
    world.have("ada")
    world.deliveries.set_profile("ada", {"id": "ada", "name": "Ada"}, "svc.backend")
    world.revoke("ada")
    world.revoke(None)
    world.deliver()
    assert world.routes() == ["PATCH /app", "PATCH /users", "GET /users", "PATCH /users"]


def test_a_call_is_for_a_hundred_users(world):
    """250 acts are three calls, none with more users than Stream takes."""
    users = [f"u{number}" for number in range(250)]
    world.have(*users)
    for user_id in users:
        world.revoke(user_id)
    world.deliver()
    calls = world.stream.calls.to("PATCH", "/users")
    assert sorted(len(call.json["users"]) for call in calls) == [50, 100, 100]
    assert all(world.at_stream(user_id) for user_id in users)


def test_a_bad_user_spoils_nothing_for_the_others(world):
    """A refused batch is halved until the bad user is alone; that one alone has failed."""
    users = [f"u{number}" for number in range(100)]
    world.have(*users)
    world.stream.app.unchangeable = {"u17", "u64"}
    for user_id in users:
        world.revoke(user_id)
    world.deliver()
    states = {user_id: world.state("user", user_id) for user_id in users}
    assert {user_id for user_id in users if states[user_id] == "failed"} == {"u17", "u64"}
    assert set(states.values()) == {"failed", "applied"}
    assert "cannot be changed" in world.row("user", "u17").last_error
    assert len(world.routes()) < 40


def test_what_is_refused_is_tried_again_at_least_hourly(world):
    """A failed act is never given up: tried after longer and longer waits, an hour at most."""
    world.have("ada")
    world.stream.app.unchangeable = {"ada"}
    world.revoke("ada")
    for _ in range(20):
        world.stream.calls.clear()
        world.deliver()
        assert "PATCH /users" in world.routes()
        assert world.state("user", "ada") == "failed"
        world.pass_time(3601)
    world.stream.app.unchangeable = set()
    world.deliver()
    assert world.state("user", "ada") == "applied"
    assert world.row("user", "ada").last_error is None


def test_a_user_whom_stream_does_not_have_is_waited_for(world):
    """Found with one query for the batch, asked every 10 s at first, brought over once there."""
    world.have("ada")
    for user_id in ("ada", "bob", "eve"):
        world.revoke(user_id)
    world.deliver()
    assert world.routes() == ["PATCH /users", "GET /users", "PATCH /users"]
    assert world.state("user", "ada") == "applied"
    assert world.state("user", "bob") == world.state("user", "eve") == "absent"
    for _ in range(3):
        world.stream.calls.clear()
        world.pass_time(10)
        world.deliver()
        assert world.routes() == ["GET /users"]
    world.have("bob")
    world.pass_time(10)
    world.deliver()
    assert world.state("user", "bob") == "applied"
    assert world.at_stream("bob") is not None
    assert world.state("user", "eve") == "absent"


def test_a_missing_user_is_asked_for_less_often_later(world):
    """After ten minutes once a minute."""
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
    assert world.routes() == ["GET /users"]


def test_a_user_who_never_comes_is_moot_in_the_end(world):
    """When no token from before the cut-off is left, there is nothing to tell Stream."""
    world.revoke("bob")
    world.deliver()
    world.pass_time(7 * 24 * 3600 - 60)
    world.deliver()
    assert world.state("user", "bob") == "absent"
    world.pass_time(61)
    world.deliver()
    assert world.state("user", "bob") == "moot"
    world.pass_time(3600)
    assert world.deliver() == 0
    world.revoke("bob")
    world.deliver()
    assert world.state("user", "bob") == "absent"


def test_an_undo_of_a_missing_user_is_moot_at_once(world):
    """A user who is made later has no cut-off, which is what is wanted."""
    world.revoke("bob")
    world.undo("bob")
    world.deliver()
    assert world.state("user", "bob") == "moot"


def test_two_senders_share_the_work(world):
    """Two at once send each user once: a row that one has is not the other's."""
    users = [f"u{number}" for number in range(300)]
    world.have(*users)
    for user_id in users:
        world.revoke(user_id)
    senders = [world.sender, world.another_sender()]
    threads = [threading.Thread(target=world.deliver, args=(sender,)) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = world.stream.calls.to("PATCH", "/users")
    sent = [user["id"] for call in calls for user in call.json["users"]]
    assert sorted(sent) == sorted(users)
    assert {world.state("user", user_id) for user_id in users} == {"applied"}


def test_long_ids_are_asked_for_in_several_queries(world):
    """A hundred ids of 255 characters do not fit into one address."""
    users = [f"{number:03}" + "x" * 252 for number in range(100)]
    world.have(*users[::2])
    for user_id in users:
        world.revoke(user_id)
    world.deliver()
    assert {world.state("user", user_id) for user_id in users[::2]} == {"applied"}
    assert {world.state("user", user_id) for user_id in users[1::2]} == {"absent"}
    queries = world.stream.calls.to("GET", "/users")
    assert len(queries) > 1
    assert max(len(call.target) for call in queries) < 8000


def test_deactivated_users_are_there(world):
    """A deactivated user may come back, with tokens from before the cut-off."""
    world.have("ada")
    world.stream.app.users["ada"]["deactivated_at"] = "2026-01-02T03:04:05Z"
    world.revoke("ada")
    world.revoke("bob")
    world.deliver()
    assert world.state("user", "ada") == "applied"
    assert world.at_stream("ada") is not None


def test_the_call_names_its_key_and_the_app(world):
    """The server token of the active key, and no other credential."""
    world.revoke(None)
    world.deliver()
    (call,) = world.stream.calls.all()
    assert call.query == {"api_key": KEY}
    assert call.facts["server"] is True


def test_a_suspension_is_a_cut_off_too(world):
    """A suspended user's tokens are refused by Stream as well; reinstating sends nothing."""
    world.have("ada")
    state = world.revocations.suspend("ada", CONTEXT)
    world.deliver()
    assert world.at_stream("ada") == rfc3339(state.tokens_valid_after)
    world.revocations.reinstate("ada", CONTEXT)
    assert world.deliver() == 0


@pytest.mark.parametrize("kind", ["user", "app"])
def test_the_operator_can_have_a_state_sent_again(world, kind):
    """Somebody has changed it in Stream's dashboard: `retry` brings it over once more."""
    world.have("ada")
    cut_off = world.revoke("ada" if kind == "user" else None)
    world.deliver()
    held = world.stream.app.users["ada"] if kind == "user" else world.stream.app.settings
    held[CUT_OFF] = None
    world.deliveries.resend(["ada", "nobody"], CONTEXT, app=kind == "app")
    world.deliver()
    held = world.stream.app.users["ada"] if kind == "user" else world.stream.app.settings
    assert held[CUT_OFF] == cut_off


@pytest.mark.sec(59)
@pytest.mark.parametrize("named", [True, False])
def test_nothing_is_retried_without_an_event(world, named):
    """Where the event cannot be written, the operator is told, and nothing is due sooner."""
    world.have("ada")
    world.stream.app.unchangeable = {"ada"}
    world.revoke("ada")
    world.deliver()
    before = world.row("user", "ada")
    refuse_writes(world.database, "audit_events")
    with pytest.raises((sa.exc.DBAPIError, Refusal)):
        if named:
            world.deliveries.resend(["ada"], CONTEXT, app=False)
        else:
            world.deliveries.retry(CONTEXT)
    assert world.row("user", "ada") == before
