"""Stream deletes an erased user, after the cut-off, whatever is lost or fails on the way."""

import pytest

from testing.database_kinds import on_both
from testing.response import Response
from tests.stream.delivery.conftest import CONTEXT
from tokensvc.audit import store as audit
from tokensvc.revocations.store import unconfirmed_targets
from tokensvc.standing import store as standings
from tokensvc.standing.rules import StoredStanding
from tokensvc.stream.delivery import store
from tokensvc.stream.delivery.lanes import LANE_OF
from tokensvc.stream.delivery.rules import LEASE_SECONDS, OBSOLETE_AFTER, RESEND_SECONDS

DELETE = "POST /users/delete"


def finish(world, seconds=600):
    """Deliver for some time."""
    for _ in range(seconds // 30):
        world.deliver()
        world.pass_time(30)
    world.deliver()


def is_deleted(world, user_id="ada"):
    return world.stream.app.users[user_id].get("deleted_at") is not None


def events(world, action="user:erasure_done"):
    """Return the details of the events that an erasure has ended, or of other ones."""
    with world.database.read() as connection:
        filters = {"action": action}
        found = audit.page(connection, after=None, limit=10, filters=filters)
    return [(event.subject, event.actor, event.details) for event in found]


@on_both
def test_stream_gets_the_cut_off_then_deletes_the_user(ada):
    """The task is asked until it ends; its end is an event. A repetition changes nothing."""
    ada.erase("ada")
    assert ada.erasure("ada").state == "pending"
    ada.deliver()
    assert ada.routes() == ["PATCH /users", DELETE]
    assert is_deleted(ada)
    assert ada.erasure("ada").state == "running"
    assert events(ada) == []
    finish(ada)
    erasure = ada.erasure("ada")
    assert (erasure.state, erasure.last_error) == ("done", None)
    assert erasure.done_at is not None
    ada.erase("ada")
    ada.deliver()
    assert ada.erasure("ada") == erasure
    assert ada.routes() == ["PATCH /users", DELETE, *["GET /tasks/task-1"] * 2]
    assert events(ada) == [("ada", "service:delivery", {"deleted_at_stream": True})]


def test_erasure_is_confirmed_before_its_response(ada):
    ada.erase("ada")
    assert unconfirmed_targets(ada.database, limit=1) == []


def test_slower_one_of_two_simultaneous_erasures_is_no_second_action(ada, monkeypatch):
    ada.erase("ada")
    with monkeypatch.context() as before_the_first:
        before_the_first.setattr(standings, "read", lambda *_: StoredStanding())
        ada.erase("ada")
    assert len(events(ada, "user:erased")) == 1


def test_users_are_deleted_in_one_call(world):
    world.have("ada", "grace")
    for user_id in ("ada", "grace"):
        world.erase(user_id)
    finish(world)
    assert world.routes().count(DELETE) == 1
    assert {world.erasure(user_id).state for user_id in ("ada", "grace")} == {"done"}


def test_end_of_a_task_is_that_of_its_users_only(world):
    world.have("ada", "grace")
    for user_id, asked in (("ada", 1000), ("grace", 1)):
        world.stream.deletions.asked = asked
        world.erase(user_id)
        world.deliver()
    finish(world)
    assert world.erasure("ada").state == "running"
    assert world.erasure("grace").state == "done"


def test_deletion_waits_for_the_cut_off(ada):
    """Also if Stream fails to take the cut-off."""
    ada.stream.faults.respond(Response(500, {"code": -1}), "PATCH /users", times=3)
    ada.erase("ada")
    while ada.sender.step():
        assert not is_deleted(ada) or ada.state("user", "ada") == "applied"
    assert DELETE not in ada.routes()
    finish(ada)
    assert ada.erasure("ada").state == "done"


@on_both
def test_failed_task_is_tried_again_and_shown_until_one_succeeds(ada):
    ada.stream.deletions.failing = 2
    ada.stream.app.users["ada"]["name"] = "Ada"
    ada.erase("ada")
    ada.deliver()
    for _ in range(2):
        ada.pass_time(61)
        ada.deliver()
    erasure = ada.erasure("ada")
    assert erasure.state == "failed"
    assert erasure.last_error.startswith("task task-1 failed: ")
    assert "planned failure" in erasure.last_error
    ada.pass_time(2)
    assert ada.sender.step()
    assert ada.row("erasure", "ada").task == "task-2"
    assert ada.erasure("ada").state == "failed"
    finish(ada)
    assert ada.erasure("ada").state == "done"


def test_user_whom_stream_does_not_find_after_a_failed_task_is_not_done(ada):
    """The task may have left data. An operator who knows better retries the user."""
    ada.stream.deletions.failing = 1
    ada.erase("ada")
    ada.deliver()
    ada.stream.fail_with(16, DELETE, times=None)
    finish(ada)
    erasure = ada.erasure("ada")
    assert erasure.state == "failed"
    assert erasure.last_error.startswith("task task-1 failed: ")
    ada.deliveries.resend(["ada"], CONTEXT, app=False)
    finish(ada)
    assert ada.erasure("ada").state == "pending"
    ada.pass_time(OBSOLETE_AFTER)
    ada.deliver()
    assert ada.erasure("ada").state == "done"


def test_deletion_is_requested_again_if_stream_has_forgotten_the_task(ada):
    ada.erase("ada")
    ada.deliver()
    ada.stream.fail_with(16, "GET /tasks/*")
    finish(ada)
    assert ada.routes().count(DELETE) == 2
    assert ada.erasure("ada").state == "done"


def test_user_whom_stream_never_had_stays_pending_until_no_token_can_create_it(world):
    """A token from before the erasure creates the user; then Stream deletes it."""
    world.erase("ada")
    finish(world, 60)
    assert world.erasure("ada").state == "pending"
    world.have("ada")
    finish(world)
    assert is_deleted(world)
    assert world.erasure("ada").state == "done"
    world.erase("grace")
    world.deliver()
    world.pass_time(OBSOLETE_AFTER + 60)
    world.deliver()
    assert world.erasure("grace").state == "done"
    assert events(world)[0] == ("grace", "service:delivery", {"deleted_at_stream": False})


def test_absent_user_does_not_delay_the_others(world):
    world.have("ada", "grace")
    world.erase("ada")
    world.erase("grace")
    world.erase("nobody")
    finish(world)
    assert [world.erasure(name).state for name in ("ada", "grace", "nobody")] == [
        "done",
        "done",
        "pending",
    ]


def test_profile_on_its_way_does_not_create_the_user_again(ada):
    """Its call may take effect for a minute after the end of its lease."""
    ada.deliveries.set_profile("ada", {"id": "ada", "name": "Ada"}, "svc.backend")
    ada.lease()
    ada.erase("ada")
    ada.deliver()
    ada.pass_time(ada.almost(LEASE_SECONDS + RESEND_SECONDS))
    ada.deliver()
    assert DELETE not in ada.routes()
    finish(ada)
    assert ada.erasure("ada").state == "done"
    assert "name" not in ada.stream.app.users["ada"]


def lose_sender(world):
    """Lease what is due and die before the call."""
    world.lease()


def lose_response(world):
    """Die after the call, before its result is stored."""
    queue, batch = world.lease()
    LANE_OF[queue.kind].send(world.sender._stream, queue, batch)


@pytest.mark.parametrize("die", [lose_sender, lose_response])
@pytest.mark.parametrize("steps", range(4))
def test_erasure_goes_on_after_a_sender_dies(ada, die, steps):
    """Before or after each call: of the cut-off, the deletion, and both questions for the task."""
    ada.erase("ada")
    for step in range(steps):
        if step > 1:
            ada.pass_time(61)
        assert ada.sender.step()
    if steps > 1:
        ada.pass_time(61)
    die(ada)
    other = ada.another_sender()
    for _ in range(20):
        ada.pass_time(LEASE_SECONDS + 1)
        ada.deliver(other)
    assert is_deleted(ada)
    assert ada.erasure("ada").state == "done"
    assert len(events(ada)) == 1


@pytest.mark.parametrize("route", [DELETE, "GET /tasks/*"])
@pytest.mark.parametrize("fault", ["cut", "refuse"])
def test_erasure_goes_on_after_a_lost_response(ada, route, fault):
    getattr(ada.stream.faults, fault)(route)
    ada.erase("ada")
    finish(ada)
    assert is_deleted(ada)
    assert ada.erasure("ada").state == "done"


@on_both
def test_operator_can_repeat_a_deletion(ada):
    """For example after someone has restored the user in Stream's dashboard."""
    ada.erase("ada")
    finish(ada)
    ada.have("ada")
    ada.deliveries.resend(["ada"], CONTEXT, app=False)
    assert ada.erasure("ada").state == "pending"
    finish(ada)
    assert is_deleted(ada)
    assert ada.erasure("ada").state == "done"


def test_erasure_stays_done_when_its_delivery_is_purged(ada):
    """Only the time of its end is forgotten."""
    ada.erase("ada")
    finish(ada)
    with ada.database.write() as tx:
        assert store.purge_finished(tx, ada.now.read(tx) + 1, 10) == 2
    erasure = ada.erasure("ada")
    assert (erasure.state, erasure.done_at) == ("done", None)
