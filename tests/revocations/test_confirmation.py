"""An action whose process died after its commit is confirmed by background work."""

import time

import pytest
import sqlalchemy as sa

from testing.waiting import wait_until
from testing.world import claims, minted, running_world
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.database.clock import DatabaseClock
from tokensvc.revocations import service
from tokensvc.revocations.tables import revocations as rows
from tokensvc.standing.rules import has_passed

CONTEXT = ActionContext("svc.backend")
JOHN, JANE = Target("john"), Target("jane")


class Died(Exception):
    """The process ended."""


@pytest.fixture
def leave(revocations, monkeypatch):
    """Return a function that revokes, and dies between the commit and the confirmation."""

    def revoke_and_die(target):
        with monkeypatch.context() as patched, pytest.raises(Died):
            patched.setattr(revocations, "confirm", die)
            revocations.revoke(target, CONTEXT)
        return revocations.state(target).tokens_valid_after

    def die(target):
        raise Died

    return revoke_and_die


def unconfirmed(database):
    with database.read() as connection:
        return connection.scalar(sa.select(sa.func.count()).where(~rows.c.confirmed))


@pytest.mark.parametrize("target", [JOHN, APP], ids=["user", "app"])
def test_cut_off_that_has_passed_is_moved(target, leave, revocations, database, clock):
    """A token that was minted before the commit may have been issued after the first cut-off."""
    left, now = leave(target), DatabaseClock(database, clock)
    clock.now += 3
    wait_until(lambda: has_passed(left, now()), "the cut-off has passed")
    assert revocations.confirm_remaining() is False
    state = revocations.state(target)
    assert left < state.tokens_valid_after == state.revocation.tokens_valid_after
    assert unconfirmed(database) == 0
    clock.now += 3
    revocations.confirm_remaining()
    assert revocations.state(target) == state


def test_undone_action_is_left_alone(leave, revocations):
    """There is no cut-off to move."""
    leave(JOHN)
    revocations.undo(JOHN, revocations.state(JOHN).revocation.id, CONTEXT)
    before = revocations.state(JOHN)
    assert revocations.confirm_remaining() is False
    assert revocations.state(JOHN) == before


def test_many_actions_are_confirmed_in_several_steps(leave, revocations, database, monkeypatch):
    monkeypatch.setattr(service, "_BATCH", 1)
    for target in (JOHN, JANE, APP):
        leave(target)
    steps = 1
    while revocations.confirm_remaining():
        steps += 1
    assert steps == 4
    assert unconfirmed(database) == 0


def test_running_service_confirms_what_a_dead_process_left(tmp_path):
    """The cut-off moves to the present, and a new sign-in works."""
    with running_world(tmp_path) as world:
        now = int(time.time())
        world.set_standing("ada", tokens_valid_after=now - 100, floor=now - 100)
        with world.database.write() as tx:
            left = {"id": "rev_1", "user_id": "ada", "kind": "revocation", "actor": "svc.dead"}
            times = {"tokens_valid_after": now - 100, "created_at": now - 100}
            tx.execute(sa.insert(rows).values(**left, **times))
        between = world.signed_in("ada", at=now - 50)
        wait_until(lambda: unconfirmed(world.database) == 0, "it is confirmed")
        assert between.post("/v1/token").code == "sign_in_required"
        cut_off = world.state("ada")["tokens_valid_after"]
        assert cut_off > now
        wait_until(lambda: time.time() >= cut_off + 2, "a sign-in after the cut-off is possible")
        assert claims(minted(world.signed_in("ada", at=cut_off + 2)))["iat"] >= cut_off
