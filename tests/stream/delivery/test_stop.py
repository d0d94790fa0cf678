"""A stopping sender: the current call ends, no other starts, and all leases are released."""

import pytest

from testing.database_kinds import on_both

CHANGE, CREATE, FIND = "PATCH /users", "POST /users", "GET /users"


def stop_during(world, route):
    """Stop the sender during its first call of a route, and run the step that would follow."""
    hanging = world.stream.faults.hang(route)
    with world.delivering():
        world.stream.calls.wait_for(*route.split())
        world.sender.stop()
        hanging.release()
    assert not world.sender.step()


def assert_left(world, kind, subjects):
    """Check that the rows are released without an attempt, and that another sender sends them."""
    for subject in subjects:
        row = world.row(kind, subject)
        assert (row.lease_until, row.attempts, row.state) == (None, 0, "pending")
    world.stream.app.unchangeable = set()
    world.deliver(world.another_sender())
    assert {world.state(kind, subject) for subject in subjects} == {"applied"}


@on_both
def test_refused_batch_is_left(world):
    users = [f"u{number}" for number in range(8)]
    world.have(*users)
    world.stream.app.unchangeable = {"u3"}
    for user_id in users:
        world.revoke(user_id)
    stop_during(world, CHANGE)
    assert world.routes() == [CHANGE]
    assert_left(world, "user", users)


@pytest.mark.parametrize(
    ("during", "routes", "left"),
    [(FIND, [FIND], ["ada", "bob"]), (CHANGE, [FIND, CHANGE], ["bob"])],
)
def test_unsent_profiles_are_left(world, during, routes, left):
    world.have("ada")
    for user_id in ("ada", "bob"):
        world.deliveries.set_profile(user_id, {"id": user_id, "name": "N"}, "svc.backend")
    stop_during(world, during)
    assert world.routes() == routes
    assert_left(world, "profile", left)
    assert world.state("profile", "ada") == "applied"


def test_no_other_key_is_tried(world):
    """The delivery has not failed."""
    world.have("ada")
    world.refuse_first_key()
    world.revoke("ada")
    stop_during(world, CHANGE)
    assert len(world.routes()) == 1
    assert_left(world, "user", ["ada"])
