"""Profiles are delivered like actions, and never remove a cut-off."""

import sqlite3

import pytest
import sqlalchemy as sa
import structlog

from testing.database_kinds import on_both
from testing.refused_writes import refuse_writes
from testing.response import Response
from tests.stream.delivery.conftest import CUT_OFF
from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Refusal
from tokensvc.stream.delivery import profile_store, store
from tokensvc.stream.delivery.profile_store import Profile
from tokensvc.stream.delivery.rules import LEASE_SECONDS, RESEND_SECONDS
from tokensvc.stream.delivery.tables import deliveries, profiles

ACTOR = "svc.backend"


@pytest.fixture
def put(world):
    """Return a function that sets ada's profile."""

    def put(**members):
        return world.deliveries.set_profile("ada", {"id": "ada", **members}, ACTOR)

    return put


def test_absent_user_is_created_with_all_members(world, put):
    state = put(name="Ada", role="moderator", teams=["red"])
    assert state.stream.state == "pending"
    assert state.profile == {"id": "ada", "name": "Ada", "role": "moderator", "teams": ["red"]}
    world.deliver()
    assert world.routes() == ["GET /users", "POST /users"]
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada["role"], ada["teams"]) == ("Ada", "moderator", ["red"])
    assert world.state("profile", "ada") == "applied"


@on_both
def test_existing_user_keeps_other_members_and_the_cut_off(world, put):
    world.have("ada")
    world.stream.app.users["ada"]["color"] = "red"
    world.revoke("ada")
    world.deliver()
    put(name="Ada")
    world.deliver()
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada["color"], ada[CUT_OFF]) == ("Ada", "red", world.cut_off("ada"))
    assert "POST /users" not in world.routes()


@pytest.mark.parametrize("body", [{}, {"duration": "1ms"}, {"duration": "1ms", "users": {}}])
def test_response_of_a_proxy_creates_no_user(world, put, body):
    """A server that is not Stream finds no users: an existing user would be replaced whole."""
    world.have("ada")
    world.stream.app.users["ada"]["color"] = "red"
    put(name="Ada")
    world.stream.faults.respond(Response(200, body), "GET /users")
    world.deliver()
    assert world.routes() == ["GET /users"]
    world.pass_time(2)
    world.deliver()
    assert world.routes() == ["GET /users", "GET /users", "PATCH /users"]
    assert world.stream.app.users["ada"]["color"] == "red"
    assert world.state("profile", "ada") == "applied"


@on_both
def test_members_of_previous_profiles_are_removed(world, put):
    """Changes are sent, so that removed members must be named; server-only members stay."""
    put(name="Ada", color="red", role="admin")
    world.deliver()
    put(name="Ada", hat="black")
    put(name="Ada")
    world.deliver()
    ada = world.stream.app.users["ada"]
    assert "color" not in ada
    assert "hat" not in ada
    assert (ada["name"], ada["role"]) == ("Ada", "admin")


def test_same_profile_changes_nothing(world, put):
    """A number instead of a boolean is a change."""
    put(flag=True)
    world.deliver()
    assert put(flag=True).stream.state == "applied"
    assert world.deliver() == 0
    assert put(flag=1).stream.state == "pending"


@on_both
def test_cut_off_is_sent_after_a_creation(world, put):
    """A created user has no cut-off at Stream."""
    world.revoke("ada")
    world.deliver()
    assert world.state("user", "ada") == "absent"
    put(name="Ada")
    world.deliver()
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada[CUT_OFF]) == ("Ada", world.cut_off("ada"))
    assert world.state("user", "ada") == "applied"


def test_obsolete_cut_off_is_sent_after_a_creation(world, put):
    world.revoke("ada")
    world.pass_time(8 * 24 * 3600)
    world.deliver()
    assert world.state("user", "ada") == "obsolete"
    put(name="Ada")
    world.deliver()
    assert world.stream.app.users["ada"][CUT_OFF] == world.cut_off("ada")


@pytest.mark.parametrize("fault", ["late", "hang"])
def test_cut_off_survives_a_late_creation(world, put, fault, monkeypatch):
    """The user connected in the meantime, and the late creation replaced the user whole."""
    world.revoke("ada")
    world.deliver()
    late = getattr(world.stream.faults, fault)("POST /users")
    put(name="Ada")
    with monkeypatch.context() as patched:
        # The query has the time that it needs; only the creation is cut off.
        create = world.api.create_users

        def create_briefly(*arguments):
            patched.setattr("tokensvc.stream.wire.DEADLINE", 0.5)
            return create(*arguments)

        patched.setattr(world.api, "create_users", create_briefly)
        world.sender.step()
    world.have("ada")
    world.pass_time(11)
    world.deliver()
    assert world.at_stream("ada") == world.cut_off("ada")
    assert world.state("user", "ada") == "pending"
    late.release()
    world.stream.calls.wait_until_done()
    assert world.at_stream("ada") is None
    world.pass_time(RESEND_SECONDS + 2)
    world.deliver()
    assert world.at_stream("ada") == world.cut_off("ada")
    assert world.stream.app.users["ada"]["name"] == "Ada"
    assert world.state("user", "ada") == world.state("profile", "ada") == "applied"


def test_cut_off_is_resent_after_a_sender_died_during_a_creation(world, put):
    """The creation may have replaced a user with a cut-off: both are sent, and sent again."""
    world.revoke("ada")
    world.deliver()
    put(name="Ada")
    world.lease()
    world.stream.app.users["ada"] = {"id": "ada", "name": "Ada"}
    world.pass_time(LEASE_SECONDS + 1)
    world.deliver()
    assert world.at_stream("ada") == world.cut_off("ada")
    assert world.state("user", "ada") == world.state("profile", "ada") == "pending"
    world.pass_time(RESEND_SECONDS + 2)
    world.deliver()
    assert world.state("user", "ada") == world.state("profile", "ada") == "applied"


def test_refused_profile_fails_alone(world, put):
    world.stream.app.unchangeable = {"ada"}
    put(name="Ada")
    for user_id in ("bob", "eve"):
        world.deliveries.set_profile(user_id, {"id": user_id}, ACTOR)
    world.have("bob")
    world.deliver()
    assert world.state("profile", "ada") == "failed"
    assert world.state("profile", "bob") == world.state("profile", "eve") == "applied"


@pytest.mark.sec(70)
@pytest.mark.parametrize(
    ("members", "removed"), [({"ID": "bob"}, []), ({"Role": "admin"}, []), ({}, ["role.x"])]
)
def test_profile_stored_before_the_checks_fails_and_is_not_sent(world, put, members, removed):
    """It is logged as an error, does not stop other profiles, and the next change mends it."""
    world.have("ada", "bob")
    put(name="Ada")
    world.deliveries.set_profile("bob", {"id": "bob", "name": "Bob"}, ACTOR)
    with world.database.write() as tx:
        profile_store.write(tx, "ada", Profile({"name": "Ada", **members}, removed), 0)
    with structlog.testing.capture_logs() as lines:
        world.deliver()
    assert world.state("profile", "ada") == "failed"
    assert world.row("profile", "ada").last_error.startswith("Rename the member ")
    assert [one["subjects"] for one in lines if one["event"] == "delivery_failed"] == [["ada"]]
    assert world.state("profile", "bob") == "applied"
    assert "name" not in world.stream.app.users["ada"]
    world.deliveries.change_own_profile("ada", {"id": "ada", "name": "Lovelace"})
    world.deliver()
    assert world.state("profile", "ada") == "applied"
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada["role"]) == ("Lovelace", "user")
    assert "ID" not in ada


def test_100_profiles_need_four_calls(world):
    """One query and one write for the existing users, the same for the others."""
    for number in range(100):
        user_id = f"u{number}"
        world.deliveries.set_profile(user_id, {"id": user_id, "name": user_id}, ACTOR)
        if number % 2:
            world.have(user_id)
    world.deliver()
    assert world.routes() == ["GET /users", "PATCH /users", "GET /users", "POST /users"]
    assert {user["name"] for user in world.stream.app.users.values()} == {
        f"u{number}" for number in range(100)
    }


@on_both
@pytest.mark.parametrize("table", ["audit_events", "deliveries", "profiles"])
def test_profile_change_is_atomic(world, put, table):
    """If the event, the delivery or the row cannot be written, nothing changes."""

    def contents():
        with world.database.read() as connection:
            tables = (audit_events, deliveries, profiles)
            return [connection.execute(sa.select(table)).all() for table in tables]

    put(name="Ada")
    before = contents()
    refuse_writes(world.database, table)
    with pytest.raises((sa.exc.DBAPIError, sqlite3.IntegrityError, Refusal)):
        put(name="Lovelace")
    assert contents() == before


@on_both
def test_profile_can_be_sent_again_after_its_delivery_was_purged(world, put):
    put(name="Ada")
    world.deliver()
    with world.database.write() as tx:
        assert store.purge_finished(tx, world.now.read(tx) + 1, 10) == 1
    world.stream.app.users.clear()
    (sent,) = world.deliveries.resend(["ada", "bob"], ActionContext(ACTOR), app=False)
    assert (sent.kind, sent.subject) == ("profile", "ada")
    world.deliver()
    assert world.stream.app.users["ada"]["name"] == "Ada"
