"""A sender that is told to stop: the call under way ends, no other begins, and nothing is held."""

import threading

import pytest

from tests.delivery.conftest import KEY, OTHER_KEY, SECRETS
from tokensvc.delivery.loop import DeliveryLoop
from tokensvc.keys.rules import KeyState, StreamKey

CHANGE, CREATE, FIND = "PATCH /users", "POST /users", "GET /users"


def stop_during(world, route):
    """Stop the sender while its first call of a route is under way."""
    hanging = world.stream.faults.hang(route)
    with world.delivering():
        world.stream.calls.wait_for(*route.split())
        world.sender.stop()
        hanging.release()


def assert_left(world, kind, subjects):
    """Nobody holds them, nothing was counted against them, and another sender brings them over."""
    for subject in subjects:
        row = world.row(kind, subject)
        assert (row.lease_until, row.attempts, row.state) == (None, 0, "pending")
    world.stream.app.unchangeable = set()
    world.deliver(world.another_sender())
    assert {world.state(kind, subject) for subject in subjects} == {"applied"}


@pytest.mark.parametrize(("during", "routes"), [(CHANGE, [CHANGE]), (FIND, [CHANGE, FIND])])
def test_the_rest_of_a_refused_batch_is_left(world, during, routes):
    """Neither the question who is missing nor a half goes out after the stop."""
    users = [f"u{number}" for number in range(8)]
    world.have(*users)
    world.stream.app.unchangeable = {"u3"}
    for user_id in users:
        world.revoke(user_id)
    stop_during(world, during)
    assert world.routes() == routes
    assert_left(world, "user", users)


@pytest.mark.parametrize(
    ("during", "routes", "left"),
    [(FIND, [FIND], ["ada", "bob"]), (CHANGE, [FIND, CHANGE], ["bob"])],
)
def test_profiles_that_were_not_sent_are_left(world, during, routes, left):
    """Who is to be created waits, when those who are known have been changed."""
    world.have("ada")
    for user_id in ("ada", "bob"):
        world.deliveries.set_profile(user_id, {"id": user_id, "name": "N"}, "svc.backend")
    stop_during(world, during)
    assert world.routes() == routes
    assert_left(world, "profile", left)
    assert world.state("profile", "ada") == "applied"


def test_no_other_key_is_tried(world):
    """A key that was refused says nothing of the act, which has not failed."""
    world.have("ada")
    world.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.STANDBY))
    world.stream.app.keys[KEY] = "another-secret-of-the-first-key-012345"
    world.revoke("ada")
    stop_during(world, CHANGE)
    assert len(world.routes()) == 1
    assert_left(world, "user", ["ada"])


def test_no_other_query_is_sent(world):
    """Also where the ids are too many for one."""
    users = [f"{number:03}" + "x" * 252 for number in range(40)]
    world.have(*users)
    world.stream.app.unchangeable = {users[3]}
    for user_id in users:
        world.revoke(user_id)
    stop_during(world, FIND)
    assert world.routes() == [CHANGE, FIND]
    assert_left(world, "user", users)


def test_the_loop_stops_its_sender(world):
    """The loop's stop comes back when the one call has ended."""
    users = [f"u{number}" for number in range(8)]
    world.have(*users)
    world.stream.app.unchangeable = {"u3"}
    for user_id in users:
        world.revoke(user_id)
    hanging = world.stream.faults.hang(CHANGE)
    loop = DeliveryLoop(world.sender)
    loop.start()
    world.stream.calls.wait_for(*CHANGE.split())
    told = threading.Event()
    stopping = world.sender.stop
    world.sender.stop = lambda: (stopping(), told.set())
    stopper = threading.Thread(target=loop.stop)
    stopper.start()
    assert told.wait(60)
    hanging.release()
    stopper.join(60)
    assert not stopper.is_alive()
    assert world.routes() == [CHANGE]
    assert_left(world, "user", users)
