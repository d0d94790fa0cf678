"""A lease is longer than the calls that a sender starts in it."""

from testing.database_kinds import on_both
from tokensvc.stream import wire
from tokensvc.stream.delivery.rules import CALL_WITHIN_SECONDS, LEASE_SECONDS

TRUNCATED = 1
"""Seconds: leases are counted in whole ones."""


def test_rest_of_a_lease_is_longer_than_a_call():
    assert LEASE_SECONDS - CALL_WITHIN_SECONDS - TRUNCATED > wire.DEADLINE


def test_no_call_starts_late_in_a_lease(world):
    """After a slow refusal of the first key, the second key waits for a new lease."""
    world.have("ada")
    world.refuse_first_key()
    world.revoke("ada")
    hanging = world.stream.faults.hang("PATCH /users")
    with world.delivering():
        world.stream.calls.wait_for("PATCH", "/users")
        world.monotonic += CALL_WITHIN_SECONDS
        hanging.release()
    assert len(world.stream.calls.all()) == 1
    row = world.row("user", "ada")
    assert (row.state, row.lease_until, row.resend_at) == ("pending", None, None)
    world.pass_time(2)
    world.deliver()
    assert world.state("user", "ada") == "applied"


@on_both
def test_action_between_two_keys_is_sent_after_them(world):
    """The second key's call sends the old state, which does not count as applied."""
    world.have("ada")
    world.refuse_first_key()
    world.revoke("ada")
    hanging = world.stream.faults.hang("PATCH /users")
    with world.delivering():
        world.stream.calls.wait_for("PATCH", "/users")
        world.undo("ada")
        hanging.release()
    assert world.state("user", "ada") == "pending"
    world.deliver()
    assert world.at_stream("ada") is None
    assert world.state("user", "ada") == "applied"
