"""Calls that fail, are lost, land late or are overtaken: Stream ends with the latest state."""

import pytest

from testing.response import Response
from tests.delivery.conftest import CUT_OFF
from tokensvc.delivery.rules import LEASE_SECONDS, RESEND_SECONDS
from tokensvc.stream import wire

ROUTE = "PATCH /users"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Give a call that hangs up soon."""
    monkeypatch.setattr(wire, "TIMEOUT", 0.5)


def test_a_refused_connection_costs_nothing_but_time(ada, monkeypatch):
    """Nothing has left this host: no call can land late, and the next success is the last call."""
    url = ada.stream.url
    ada.sender._api._base_url = "http://127.0.0.1:1"
    ada.revoke("ada")
    ada.deliver()
    row = ada.row("user", "ada")
    assert (row.state, row.attempts, row.resend_at, row.lease_until) == ("pending", 1, None, None)
    assert "not reached" in row.last_error
    ada.sender._api._base_url = url
    ada.pass_time(2)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "applied"


LOST = {
    "a cut answer": lambda faults: faults.cut(ROUTE),
    "no answer": lambda faults: faults.refuse(ROUTE),
    "an error of Stream's": lambda faults: faults.respond(Response(500, {"code": -1}), ROUTE),
    "a time-out of Stream's": lambda faults: faults.respond(Response(408, {"code": 23}), ROUTE),
    "a gateway's time-out": lambda faults: faults.respond(Response(504, b"<html>"), ROUTE),
    "a proxy's refusal": lambda faults: faults.respond(Response(403, b"<html>"), ROUTE),
    "a page with 200": lambda faults: faults.respond(Response(200, b"<html>"), ROUTE),
    "an empty object with 200": lambda faults: faults.respond(Response(200, {}), ROUTE),
    "nobody with 200": lambda faults: faults.respond(
        Response(200, {"users": {}, "duration": "1ms"}), ROUTE
    ),
    "a redirect": lambda faults: faults.respond(Response(307, b"", {"Location": "/x"}), ROUTE),
    "an answer that is too big": lambda faults: faults.respond(
        Response(200, b" " * (wire.MAX_ANSWER_BYTES + 1)), ROUTE
    ),
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
def test_after_a_lost_answer_the_state_goes_again_and_once_more(ada, lose):
    """At once, since it may not have landed; and after a minute, since it may land late."""
    lose(ada.stream.faults)
    ada.revoke("ada")
    ada.deliver()
    assert ada.routes() == [ROUTE, ROUTE]
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "pending"
    early = ada.almost(RESEND_SECONDS)
    ada.pass_time(early)
    assert ada.deliver() == 0
    ada.pass_time(RESEND_SECONDS + 2 - early)
    assert ada.deliver() == 1
    assert ada.routes() == [ROUTE] * 3
    assert ada.state("user", "ada") == "applied"
    ada.pass_time(3600)
    assert ada.deliver() == 0


@pytest.mark.parametrize("fault", ["late", "hang"])
def test_a_call_that_lands_late_does_not_win(ada, fault):
    """A revocation whose call lands after its undo was sent: the undo is sent once more."""
    late = getattr(ada.stream.faults, fault)(ROUTE)
    ada.revoke("ada")
    ada.sender.step()
    ada.undo("ada")
    ada.deliver()
    assert ada.at_stream("ada") is None
    late.release()
    ada.stream.calls.wait_until_done()
    assert ada.at_stream("ada") is not None
    assert ada.state("user", "ada") == "pending"
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver()
    assert ada.at_stream("ada") is None
    assert ada.state("user", "ada") == "applied"


def test_an_act_during_a_call_is_sent_after_it(ada):
    """The version that was sent is not the current one: nothing says `applied` before it is."""
    hanging = ada.stream.faults.hang(ROUTE)
    ada.revoke("ada")
    with ada.delivering():
        ada.stream.calls.wait_for("PATCH", "/users")
        ada.undo("ada")  # which no lock of the sender holds up
        hanging.release()
    row = ada.row("user", "ada")
    assert (row.state, row.version - row.applied_version) == ("pending", 1)
    assert ada.deliver() == 1
    assert ada.at_stream("ada") is None
    assert ada.state("user", "ada") == "applied"


def test_a_row_of_a_dead_sender_is_taken_up_when_its_lease_ends(ada):
    """Nobody knows what the dead one has sent, so that the state goes twice, a minute apart."""
    ada.revoke("ada")
    ada.sender._leases.take(ada.sender._due.read()[0], 100)
    assert ada.deliver(ada.another_sender()) == 0
    ada.pass_time(LEASE_SECONDS + 1)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "pending"
    ada.pass_time(RESEND_SECONDS + 2)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.state("user", "ada") == "applied"


def test_a_sender_that_slept_does_not_win(ada):
    """One that is stopped for minutes, then sends what it once read, is found out and corrected."""
    ada.revoke("ada")
    queue = ada.sender._due.read()[0]
    batch = ada.sender._leases.take(queue, 100)
    ada.undo("ada")
    ada.pass_time(LEASE_SECONDS + 1)
    other = ada.another_sender()
    ada.deliver(other)
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"
    later, ada.monotonic = ada.monotonic, 0.0  # which stands still while a host is suspended
    ada.sender._deliver(queue, batch)
    ada.monotonic = later
    assert ada.at_stream("ada") is not None
    assert ada.state("user", "ada") == "pending"
    ada.deliver(other)
    assert ada.at_stream("ada") is None
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"


def test_a_sender_that_wakes_too_late_reads_anew(ada):
    """Before the call it looks at its clock: what it does not hold any more, it does not send."""
    ada.revoke("ada")
    queue = ada.sender._due.read()[0]
    batch = ada.sender._leases.take(queue, 100)
    ada.pass_time(LEASE_SECONDS + 1)
    ada.deliver(ada.another_sender())
    ada.stream.calls.clear()
    ada.sender._deliver(queue, batch)
    assert ada.routes() == []


def test_a_call_that_is_not_sent_leaves_the_rest_for_later(world):
    """Halves of a batch are not tried one after the other on a Stream that does not answer."""
    users = [f"u{number}" for number in range(8)]
    world.have(*users)
    world.stream.app.unchangeable = {"u0"}
    for user_id in users:
        world.revoke(user_id)
    refused = Response(400, {"code": 4, "message": "no"})
    world.stream.faults.respond(refused, ROUTE, times=2)
    world.stream.faults.cut(ROUTE)
    world.sender.step()
    assert world.routes() == [ROUTE, "GET /users", ROUTE, ROUTE]
    rows = [world.row("user", user_id) for user_id in users]
    assert {row.lease_until for row in rows} == {None}
    assert sorted(row.resend_at is None for row in rows) == [False] * 4 + [True] * 4
    for _ in range(3):
        world.pass_time(RESEND_SECONDS + 2)
        world.deliver()
    assert [world.state("user", user_id) for user_id in users] == ["failed"] + ["applied"] * 7


def test_a_failing_query_puts_the_batch_off(ada):
    """Who is missing is not guessed; and a question that was lost changed nothing."""
    ada.revoke("bob")
    ada.revoke("ada")
    ada.stream.faults.cut("GET /users")
    ada.deliver()
    for user_id in ("ada", "bob"):
        row = ada.row("user", user_id)
        assert (row.state, row.resend_at) == ("pending", None)
    ada.pass_time(2)
    ada.deliver()
    assert (ada.state("user", "ada"), ada.state("user", "bob")) == ("applied", "absent")


def test_the_apps_cut_off_survives_a_lost_answer(world):
    """What holds for users holds for everyone."""
    late = world.stream.faults.late("PATCH /app")
    world.revoke(None)
    world.sender.step()
    world.undo(None)
    world.deliver()
    late.release()
    world.stream.calls.wait_until_done()
    assert world.stream.app.settings[CUT_OFF] is not None
    world.pass_time(RESEND_SECONDS + 2)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] is None
    assert world.state("app") == "applied"
