"""After failed, lost and late calls, Stream ends with the latest state."""

import pytest
import structlog

from testing.database_kinds import on_both
from testing.response import Response
from tests.stream.delivery.conftest import CUT_OFF
from tokensvc.stream import wire
from tokensvc.stream.delivery.lanes import LANE_OF
from tokensvc.stream.delivery.rules import LEASE_SECONDS, RESEND_SECONDS

ROUTE = "PATCH /users"


def test_unsent_call_is_not_sent_twice(ada):
    """Nothing has left this host, so that the next success is final."""
    with ada.unreachable_stream():
        ada.revoke("ada")
        ada.deliver()
    row = ada.row("user", "ada")
    assert (row.state, row.attempts, row.resend_at, row.lease_until) == ("pending", 1, None, None)
    assert "cannot connect" in row.last_error
    ada.pass_time(2)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "applied"


def test_outage_of_stream_is_logged_once_and_so_is_its_end(ada):
    with structlog.testing.capture_logs() as lines:
        with ada.unreachable_stream():
            ada.revoke("ada")
            for _ in range(3):
                ada.deliver()
                ada.pass_time(60)
        ada.deliver()
    calls = [(one["event"], one["log_level"]) for one in lines if "stream_call" in one["event"]]
    assert calls == [("stream_call_failed", "warning"), ("stream_call_recovered", "info")]
    assert ada.state("user", "ada") == "applied"


def test_refused_key_is_logged_once_until_stream_accepts_one(ada):
    key, secret = next(iter(ada.stream.app.keys.items()))
    with structlog.testing.capture_logs() as lines:
        ada.revoke("ada")
        for stored in ("another-secret", "another-secret", secret, "another-secret"):
            ada.stream.app.keys[key] = stored
            ada.revoke("ada")
            ada.deliver()
            ada.pass_time(120)
    refused = [one for one in lines if one["event"] == "stream_key_refused"]
    assert len(refused) == 2
    assert {one["log_level"] for one in refused} == {"error"}


LOST = {
    "a cut response": lambda faults: faults.cut(ROUTE),
    "no response": lambda faults: faults.refuse(ROUTE),
    "Stream's internal error": lambda faults: faults.respond(Response(500, {"code": -1}), ROUTE),
    "Stream's timeout": lambda faults: faults.respond(Response(408, {"code": 23}), ROUTE),
    "a gateway's timeout": lambda faults: faults.respond(Response(504, b"<html>"), ROUTE),
    "a proxy's refusal": lambda faults: faults.respond(Response(403, b"<html>"), ROUTE),
    "a page with 200": lambda faults: faults.respond(Response(200, b"<html>"), ROUTE),
    "an empty object with 200": lambda faults: faults.respond(Response(200, {}), ROUTE),
    "no users with 200": lambda faults: faults.respond(
        Response(200, {"users": {}, "duration": "1ms"}), ROUTE
    ),
    "a redirect": lambda faults: faults.respond(Response(307, b"", {"Location": "/x"}), ROUTE),
    "a response that is too large": lambda faults: faults.respond(
        Response(200, b" " * (wire.MAX_RESPONSE_BYTES + 1)), ROUTE
    ),
}


@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
def test_state_is_resent_twice_after_a_lost_response(ada, lose):
    """Immediately, because the call may be lost; after a minute, because it may be late."""
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


@on_both
@pytest.mark.parametrize("fault", ["late", "hang"])
def test_late_call_does_not_win(ada, fault, monkeypatch):
    """A revocation's call takes effect after its undo was sent: the undo is sent once more."""
    late = getattr(ada.stream.faults, fault)(ROUTE)
    ada.revoke("ada")
    with monkeypatch.context() as patched:
        patched.setattr(wire, "DEADLINE", 0.5)
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


@on_both
def test_action_during_a_call_is_sent_after_it(ada):
    """The sent version is not the current one, so that the state is not `applied` yet."""
    hanging = ada.stream.faults.hang(ROUTE)
    ada.revoke("ada")
    with ada.delivering():
        ada.stream.calls.wait_for("PATCH", "/users")
        ada.undo("ada")  # no lock of the sender delays it
        hanging.release()
    row = ada.row("user", "ada")
    assert (row.state, row.version - row.applied_version) == ("pending", 1)
    assert ada.deliver() == 1
    assert ada.at_stream("ada") is None
    assert ada.state("user", "ada") == "applied"


def send(world, queue, batch):
    """Run the rest of the sender's step."""
    responses = LANE_OF[queue.kind].send(world.sender._stream, queue, batch)
    world.sender._leases.finish(batch, responses)


@on_both
def test_dead_senders_row_is_taken_over_when_the_lease_expires(ada):
    """It is unknown what the dead sender sent, so that the state is sent twice, a minute apart."""
    ada.revoke("ada")
    ada.lease()
    assert ada.deliver(ada.another_sender()) == 0
    ada.pass_time(LEASE_SECONDS + 1)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "pending"
    ada.pass_time(RESEND_SECONDS + 2)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.state("user", "ada") == "applied"


def test_suspended_sender_does_not_win(ada):
    """A sender that sends what it read minutes ago is noticed, and the state sent again."""
    ada.revoke("ada")
    queue, batch = ada.lease()
    ada.undo("ada")
    ada.pass_time(LEASE_SECONDS + 1)
    other = ada.another_sender()
    ada.deliver(other)
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"
    later, ada.monotonic = ada.monotonic, 0.0  # the clock stops while a host is suspended
    send(ada, queue, batch)
    ada.monotonic = later
    assert ada.at_stream("ada") is not None
    assert ada.state("user", "ada") == "pending"
    ada.deliver(other)
    assert ada.at_stream("ada") is None
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"


def test_sender_with_an_expired_lease_sends_nothing(ada):
    ada.revoke("ada")
    queue, batch = ada.lease()
    ada.pass_time(LEASE_SECONDS + 1)
    ada.deliver(ada.another_sender())
    ada.stream.calls.clear()
    before = ada.row("user", "ada")
    send(ada, queue, batch)
    assert ada.routes() == []
    assert ada.row("user", "ada") == before


def test_failed_query_delays_the_batch(ada):
    """A lost query has no effect at Stream and causes no resend."""
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


def test_app_cut_off_is_resent_after_a_lost_response(world):
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
