"""A user changes members of the own profile; what a server has set stays."""

import pytest

from testing.database_kinds import on_both
from testing.service_clients import refusal_of
from tokensvc.core.errors import Code

ACTOR = "svc.backend"


@pytest.fixture
def patch(world):
    """Return a function that changes members of ada's profile as ada."""

    def patch(**members):
        return world.deliveries.change_own_profile("ada", {"id": "ada", **members})

    return patch


def at_stream(world, name):
    return world.stream.app.users["ada"].get(name)


@on_both
def test_other_members_stay(world, patch):
    """Those of a server too; both reach Stream."""
    user = {"id": "ada", "name": "Ada", "color": "red", "role": "moderator"}
    world.deliveries.set_profile("ada", user, ACTOR)
    world.deliver()
    state = patch(name="Countess")
    assert state.profile == {**user, "name": "Countess"}
    assert state.stream.state == "pending"
    world.deliver()
    assert at_stream(world, "name") == "Countess"
    assert at_stream(world, "color") == "red"
    assert at_stream(world, "role") == "moderator"


def test_null_removes_a_member(world, patch):
    """Also one that only Stream has; a `null` that a server has set stays."""
    world.deliveries.set_profile("ada", {"id": "ada", "color": "red", "hat": None}, ACTOR)
    world.deliver()
    world.stream.app.users["ada"]["shoes"] = "green"
    assert patch(color=None, shoes=None).profile == {"id": "ada", "hat": None}
    world.deliver()
    assert "color" not in world.stream.app.users["ada"]
    assert "shoes" not in world.stream.app.users["ada"]


def test_same_change_again_changes_nothing(world, patch):
    patch(name="Ada", color=None)
    world.deliver()
    assert patch(name="Ada", color=None).stream.state == "applied"
    assert patch(name="Countess").stream.state == "pending"


@pytest.mark.parametrize("member", ["role", "teams", "Role", "TEAMS", "role.x", "banned", "ID"])
def test_member_of_servers_is_refused(patch, member):
    """Also in another spelling: the service sends it as a server."""
    assert refusal_of(patch, **{member: "admin"}).code is Code.USER_INVALID


def test_profile_that_becomes_too_large_is_refused(world, patch):
    patch(first="x" * 3000)
    assert refusal_of(patch, second="x" * 3000).code is Code.USER_INVALID
    assert refusal_of(world.deliveries.change_own_profile, "ada", {"id": "bob"}).code is (
        Code.USER_ID_MISMATCH
    )
    assert patch(first=None, second="x" * 3000)
