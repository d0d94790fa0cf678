"""A lease outlasts every call: it is renewed before each one."""

import pytest

from tests.delivery.conftest import KEY, OTHER_KEY, SECRETS
from tokensvc.delivery.rules import LEASE_SECONDS, RENEW_AFTER
from tokensvc.keys.rules import KeyState, StreamKey
from tokensvc.stream import wire

TRUNCATED = 1
"""Seconds: leases are counted in whole ones."""


def test_what_is_left_of_a_lease_is_more_than_a_call_takes():
    """To connect, and for the exchange as a whole."""
    assert LEASE_SECONDS - RENEW_AFTER - TRUNCATED > wire.TIMEOUT + wire.DEADLINE


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_lease_is_renewed_between_queries(world):
    """A minute of queries for long ids: no other sender takes the batch for lost meanwhile."""
    users = [f"{number:03}" + "x" * 252 for number in range(100)]
    world.have(*users[1:])
    for user_id in users:
        world.revoke(user_id)
    other = world.another_sender()
    hanging = world.stream.faults.hang("GET /users")
    with world.delivering():
        for count in range(1, 8):
            world.stream.calls.wait_for("GET", "/users", count)
            world.pass_time(RENEW_AFTER - 1)
            assert not other.step()
            following = world.stream.faults.hang("GET /users")
            hanging.release()
            hanging = following
    assert len(world.stream.calls.to("GET", "/users")) == 7
    assert world.state("user", users[0]) == "absent"
    assert {world.state("user", user_id) for user_id in users[1:]} == {"applied"}


def test_a_lease_is_renewed_between_keys(world):
    """What the second key's call sends was read when the first one's had ended."""
    world.have("ada")
    world.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.STANDBY))
    world.stream.app.keys[KEY] = "another-secret-of-the-first-key-012345"
    world.revoke("ada")
    hanging = world.stream.faults.hang("PATCH /users")
    with world.delivering():
        world.stream.calls.wait_for("PATCH", "/users")
        world.monotonic += RENEW_AFTER
        world.undo("ada")
        hanging.release()
    assert len(world.stream.calls.all()) == 2
    assert world.at_stream("ada") is None
    assert world.state("user", "ada") == "applied"
