"""Profiles go the way of acts, and never wipe a cut-off."""

import pytest
import sqlalchemy as sa

from testing.refused_writes import refuse_writes
from testing.response import Response
from tests.delivery.conftest import CUT_OFF
from tokensvc.core.errors import Code, Refusal
from tokensvc.database.tables import audit_events, deliveries, profiles
from tokensvc.delivery.rules import LEASE_SECONDS, RESEND_SECONDS

ACTOR = "svc.backend"


@pytest.fixture
def put(world):
    """Give a function that sets ada's profile."""

    def put(**members):
        return world.deliveries.set_profile("ada", {"id": "ada", **members}, ACTOR)

    return put


def test_a_new_user_is_created(world, put):
    """Stream has no such user: the profile makes one, role and all."""
    state = put(name="Ada", role="moderator", teams=["red"])
    assert state.stream.state == "pending"
    assert state.profile == {"id": "ada", "name": "Ada", "role": "moderator", "teams": ["red"]}
    world.deliver()
    assert world.routes() == ["GET /users", "POST /users"]
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada["role"], ada["teams"]) == ("Ada", "moderator", ["red"])
    assert world.state("profile", "ada") == "applied"


def test_a_known_user_is_changed_and_keeps_the_rest(world, put):
    """What others have set stays, the cut-off above all."""
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
def test_nobody_is_made_on_the_word_of_a_stranger(world, put, body):
    """Something that is not Stream finds nobody: a known user would be replaced whole."""
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


def test_what_a_profile_no_longer_has_is_taken_away(world, put):
    """Changes are sent, so that what is left out must be named; what a server sets stays."""
    put(name="Ada", color="red", role="admin")
    world.deliver()
    put(name="Ada", hat="black")
    put(name="Ada")
    world.deliver()
    ada = world.stream.app.users["ada"]
    assert "color" not in ada
    assert "hat" not in ada
    assert (ada["name"], ada["role"]) == ("Ada", "admin")


def test_the_same_profile_changes_nothing(world, put):
    """A repeat is neither sent nor audited; a number in the place of a truth value is a change."""
    put(flag=True)
    world.deliver()
    assert put(flag=True).stream.state == "applied"
    assert world.deliver() == 0
    assert put(flag=1).stream.state == "pending"


def test_a_creation_brings_the_cut_off_along(world, put):
    """A user who is made has no cut-off: what stood against them counts as not told."""
    world.revoke("ada")
    world.deliver()
    assert world.state("user", "ada") == "absent"
    put(name="Ada")
    world.deliver()
    ada = world.stream.app.users["ada"]
    assert (ada["name"], ada[CUT_OFF]) == ("Ada", world.cut_off("ada"))
    assert world.state("user", "ada") == "applied"


def test_a_creation_of_somebody_who_was_moot_brings_the_cut_off(world, put):
    """Also when the service had stopped looking for them."""
    world.revoke("ada")
    world.pass_time(8 * 24 * 3600)
    world.deliver()
    assert world.state("user", "ada") == "moot"
    put(name="Ada")
    world.deliver()
    assert world.stream.app.users["ada"][CUT_OFF] == world.cut_off("ada")


@pytest.mark.parametrize("fault", ["late", "hang"])
def test_a_creation_that_lands_late_does_not_wipe_the_cut_off(world, put, fault, monkeypatch):
    """The user came by themselves meanwhile, and the late creation replaced them whole."""
    monkeypatch.setattr("tokensvc.stream.wire.TIMEOUT", 0.5)
    world.revoke("ada")
    world.deliver()
    late = getattr(world.stream.faults, fault)("POST /users")
    put(name="Ada")
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


def test_a_sender_that_died_creating_is_made_good(world, put):
    """Its creation may have landed, on somebody who had a cut-off: both are sent, and again."""
    world.revoke("ada")
    world.deliver()
    put(name="Ada")
    (queue,) = world.sender._due.read()
    world.sender._leases.take(queue, 100)
    world.stream.app.users["ada"] = {"id": "ada", "name": "Ada"}
    world.pass_time(LEASE_SECONDS + 1)
    world.deliver()
    assert world.at_stream("ada") == world.cut_off("ada")
    assert world.state("user", "ada") == world.state("profile", "ada") == "pending"
    world.pass_time(RESEND_SECONDS + 2)
    world.deliver()
    assert world.state("user", "ada") == world.state("profile", "ada") == "applied"


def test_a_refused_profile_stops_neither_others_nor_acts(world, put):
    """It has failed and says why; everything else goes on."""
    world.stream.app.unchangeable = {"ada"}
    put(name="Ada")
    for user_id in ("bob", "eve"):
        world.deliveries.set_profile(user_id, {"id": user_id}, ACTOR)
    world.have("bob")
    world.deliver()
    assert world.state("profile", "ada") == "failed"
    assert world.state("profile", "bob") == world.state("profile", "eve") == "applied"


def test_many_profiles_are_few_calls(world):
    """A hundred users are asked for, changed and created together."""
    for number in range(100):
        user_id = f"u{number}"
        world.deliveries.set_profile(user_id, {"id": user_id, "name": user_id}, ACTOR)
        if number % 2:
            world.have(user_id)
    world.deliver()
    assert world.routes() == ["GET /users", "PATCH /users", "POST /users"]
    assert {user["name"] for user in world.stream.app.users.values()} == {
        f"u{number}" for number in range(100)
    }


@pytest.mark.parametrize(
    ("user", "code"),
    [
        ({"name": "Ada"}, Code.USER_INVALID),
        ({"id": "bob"}, Code.USER_ID_MISMATCH),
        ({"id": "ada", CUT_OFF: None}, Code.USER_INVALID),
        ({"id": "ada", "text": "x" * 5200}, Code.USER_INVALID),
        ({"id": "ada", "privacy_settings": {"other": {"enabled": True}}}, Code.USER_INVALID),
    ],
)
def test_a_bad_profile_is_refused_and_nothing_stored(world, user, code):
    """Checked like the object of `connectUser`; a cut-off is set by revocations alone."""
    with pytest.raises(Refusal) as refused:
        world.deliveries.set_profile("ada", user, ACTOR)
    assert refused.value.code is code
    assert world.deliver() == 0


@pytest.mark.parametrize("table", ["audit_events", "deliveries", "profiles"])
def test_a_profile_is_whole_or_not_at_all(world, put, table):
    """Where its event, its delivery or its row cannot be written, everything stays as it was."""

    def contents():
        with world.database.read() as connection:
            tables = (audit_events, deliveries, profiles)
            return [connection.execute(sa.select(table)).all() for table in tables]

    put(name="Ada")
    before = contents()
    refuse_writes(world.database, table)
    with pytest.raises((sa.exc.DBAPIError, Refusal)):
        put(name="Lovelace")
    assert contents() == before
