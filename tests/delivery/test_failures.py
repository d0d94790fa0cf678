"""Calls that fail, are lost, land late or are overtaken: Stream ends with the latest state."""

import json

import pytest

from tests.delivery.conftest import CUT_OFF, KEY, ORDER, OTHER_KEY, SECRETS
from tests.doubles.faults import Answer
from tokensvc.delivery.rules import LEASE, RESEND
from tokensvc.keys.rules import KeyState, StreamKey, fingerprint
from tokensvc.stream import wire

ROUTE = "PATCH /users"
NEW_SECRET = "another-secret-of-the-first-key-012345"


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Give a call that hangs up soon."""
    monkeypatch.setattr(wire, "TIMEOUT", 0.5)


@pytest.fixture
def ada(world):
    world.have("ada")
    return world


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
    "an error of Stream's": lambda faults: faults.answer(Answer(500, {"code": -1}), ROUTE),
    "a time-out of Stream's": lambda faults: faults.answer(Answer(408, {"code": 23}), ROUTE),
    "a gateway's time-out": lambda faults: faults.answer(Answer(504, b"<html>"), ROUTE),
    "a proxy's refusal": lambda faults: faults.answer(Answer(403, b"<html>"), ROUTE),
    "a page with 200": lambda faults: faults.answer(Answer(200, b"<html>"), ROUTE),
    "an empty object with 200": lambda faults: faults.answer(Answer(200, {}), ROUTE),
    "nobody with 200": lambda faults: faults.answer(
        Answer(200, {"users": {}, "duration": "1ms"}), ROUTE
    ),
    "a redirect": lambda faults: faults.answer(Answer(307, b"", {"Location": "/x"}), ROUTE),
    "an answer that is too big": lambda faults: faults.answer(
        Answer(200, b" " * (wire.MAX_ANSWER_BYTES + 1)), ROUTE
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
    ada.pass_time(RESEND - 2)
    assert ada.deliver() == 0
    ada.pass_time(4)
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
    ada.pass_time(RESEND + 2)
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
    assert (row.state, row.version, row.applied_version) == ("pending", 2, 1)
    assert ada.deliver() == 1
    assert ada.at_stream("ada") is None
    assert ada.state("user", "ada") == "applied"


def test_a_row_of_a_dead_sender_is_taken_up_when_its_lease_ends(ada):
    """Nobody knows what the dead one has sent, so that the state goes twice, a minute apart."""
    ada.revoke("ada")
    ada.sender._leases.take(ada.sender._due.read()[0], 100)
    assert ada.deliver(ada.another_sender()) == 0
    ada.pass_time(LEASE + 1)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "pending"
    ada.pass_time(RESEND + 2)
    assert ada.deliver(ada.another_sender()) == 1
    assert ada.state("user", "ada") == "applied"


def test_a_sender_that_slept_does_not_win(ada):
    """One that is stopped for minutes, then sends what it once read, is found out and corrected."""
    ada.revoke("ada")
    queue = ada.sender._due.read()[0]
    batch = ada.sender._leases.take(queue, 100)
    ada.undo("ada")
    ada.pass_time(LEASE + 1)
    other = ada.another_sender()
    ada.deliver(other)
    ada.pass_time(RESEND + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"
    later, ada.monotonic = ada.monotonic, 0.0  # which stands still while a host is suspended
    ada.sender._deliver(queue, batch)
    ada.monotonic = later
    assert ada.at_stream("ada") is not None
    assert ada.state("user", "ada") == "pending"
    ada.deliver(other)
    assert ada.at_stream("ada") is None
    ada.pass_time(RESEND + 2)
    ada.deliver(other)
    assert ada.state("user", "ada") == "applied"


def test_a_sender_that_wakes_too_late_reads_anew(ada):
    """Before the call it looks at its clock: what it does not hold any more, it does not send."""
    ada.revoke("ada")
    queue = ada.sender._due.read()[0]
    batch = ada.sender._leases.take(queue, 100)
    ada.pass_time(LEASE + 1)
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
    refused = Answer(400, {"code": 4, "message": "no"})
    world.stream.faults.answer(refused, ROUTE, times=2)
    world.stream.faults.cut(ROUTE)
    world.sender.step()
    assert world.routes() == [ROUTE, "GET /users", ROUTE, ROUTE]
    rows = [world.row("user", user_id) for user_id in users]
    assert {row.lease_until for row in rows} == {None}
    assert sorted(row.resend_at is None for row in rows) == [False] * 4 + [True] * 4
    for _ in range(3):
        world.pass_time(RESEND + 2)
        world.deliver()
    assert [world.state("user", user_id) for user_id in users] == ["failed"] + ["applied"] * 7


def test_after_four_minutes_of_outage_somebody_should_look(ada):
    """Then it has failed, is shown and logged, and goes on being tried once a minute."""
    ada.stream.faults.refuse(ROUTE, times=None)
    ada.revoke("ada")
    for _ in range(6):
        ada.deliver()
        ada.pass_time(61)
    assert ada.state("user", "ada") == "pending"
    for _ in range(6):
        ada.deliver()
        ada.pass_time(61)
    assert ada.state("user", "ada") == "failed"
    (trouble,) = ada.deliveries.troubles()
    assert trouble.startswith("1 failed")
    ada.stream.faults.clear()
    ada.deliver()
    ada.pass_time(RESEND + 2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
    assert ada.deliveries.troubles() == []


def test_what_is_due_and_not_tried_is_shown(ada):
    """Without any sender at work, an operator is told after a minute."""
    ada.revoke("ada")
    assert ada.deliveries.troubles() == []
    ada.pass_time(62)
    (trouble,) = ada.deliveries.troubles()
    assert "tokensvc worker" in trouble


def test_a_rate_limit_is_respected(ada):
    """`Retry-After` holds for every call of its kind, and for no other kind."""
    ada.stream.fail_with(9, ROUTE, retry_after=40)
    ada.revoke("ada")
    ada.deliver()
    ada.have("bob")
    ada.revoke("bob")
    ada.revoke(None)
    ada.pass_time(38)
    ada.deliver()
    assert ada.routes() == [ROUTE, "PATCH /app"]
    assert ada.row("user", "bob").attempts == 0  # which is not bob's fault
    ada.pass_time(4)
    ada.deliver()
    assert ada.state("user", "ada") == ada.state("user", "bob") == "applied"
    assert ada.row("user", "ada").resend_at is None


def test_a_used_up_rate_limit_is_respected(ada):
    """The last call of a minute says so: the next one waits for the minute's end."""
    ada.stream.clock.frozen_at = 1_800_000_000
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000030"}
    body = {"users": {"ada": {"id": "ada"}}, "duration": "1ms"}
    ada.stream.faults.answer(Answer(200, body, used_up), ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
    ada.revoke("ada")
    ada.pass_time(29)
    ada.deliver()
    assert ada.routes() == [ROUTE]
    ada.pass_time(2)
    ada.deliver()
    assert ada.routes() == [ROUTE, ROUTE]


def test_failing_calls_come_less_and_less_often(ada):
    """A Stream that is down is not hammered, however much there is to tell it."""
    ada.stream.faults.answer(Answer(503, b""), times=None)
    for number in range(40):
        ada.have(f"u{number}")
    for _ in range(120):
        ada.revoke(f"u{_ % 40}")
        ada.deliver()
        ada.pass_time(1)
    assert len(ada.routes()) <= 12


@pytest.mark.parametrize("code", [2, 5, 43, 99])
def test_another_key_is_tried_where_stream_refuses_one(ada, code):
    """The active key's secret was changed in the dashboard: one not retired does as well."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.stream.fail_with(code, ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert [call.query["api_key"] for call in ada.stream.calls.all()] == [KEY, OTHER_KEY]
    assert ada.state("user", "ada") == "applied"
    (trouble,) = ada.deliveries.troubles()
    assert KEY in trouble
    assert f"code {code}" in trouble
    ada.revoke("ada")
    ada.deliver()
    assert ada.deliveries.troubles() == []


def test_what_may_not_be_done_to_a_user_is_no_refused_key(ada):
    """Code 17 comes with 403 as well: that user alone has failed, and no key is in doubt."""
    ada.ring.append(StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.RETIRING))
    ada.have("bob")
    ada.stream.fail_with(17, ROUTE, times=2)
    ada.revoke("ada")
    ada.revoke("bob")
    ada.deliver()
    assert {call.query["api_key"] for call in ada.stream.calls.all()} == {KEY}
    assert ada.routes() == [ROUTE, "GET /users", ROUTE, ROUTE, ROUTE]
    assert {ada.state("user", user_id) for user_id in ("ada", "bob")} == {"applied"}
    ada.stream.fail_with(17, ROUTE, times=2)
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "failed"
    assert all("refuses the key" not in trouble for trouble in ada.deliveries.troubles())


@pytest.fixture
def regenerated(ada):
    """Give a world in which the active key's secret was changed in the dashboard."""
    ada.stream.app.keys[KEY] = NEW_SECRET
    ada.ring.append(StreamKey(KEY, NEW_SECRET.encode(), KeyState.STANDBY))
    ada.revoke("ada")
    ada.deliver()
    return ada


def test_a_regenerated_secret_does_not_hide_that_the_active_one_is_refused(regenerated):
    """Both are of one API key: what one of them can do says nothing of the other."""
    assert regenerated.state("user", "ada") == "applied"
    (trouble,) = regenerated.deliveries.troubles()
    assert fingerprint(SECRETS[KEY].encode()) in trouble
    regenerated.revoke("ada")
    regenerated.stream.faults.refuse(ROUTE)
    regenerated.sender.step()
    assert regenerated.deliveries.troubles() == [trouble]


def test_what_is_not_tried_any_more_is_not_shown(regenerated):
    """The active key is taken again: what came of another meanwhile is nobody's trouble."""
    regenerated.ring[1] = StreamKey(OTHER_KEY, b"x" * 32, KeyState.STANDBY)
    regenerated.revoke("ada")
    regenerated.deliver()
    assert len(regenerated.deliveries.troubles()) == 3  # and the act, which has failed
    regenerated.stream.app.keys[KEY] = SECRETS[KEY]
    regenerated.pass_time(2)
    regenerated.deliver()
    assert regenerated.state("user", "ada") == "applied"
    assert regenerated.deliveries.troubles() == []


def test_refused_keys_are_shown_and_acts_wait(ada):
    """No key is taken: it has failed, says so, and goes through once a key is good again."""
    ada.stream.app.keys[KEY] = NEW_SECRET
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "failed"
    assert "code 43" in ada.row("user", "ada").last_error
    assert SECRETS[KEY] not in json.dumps(ada.deliveries.troubles())
    ada.pass_time(2)
    ada.deliver()
    assert len(ada.routes()) == 2
    ada.stream.app.keys[KEY] = SECRETS[KEY]
    ada.pass_time(60)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")
    assert ada.state("user", "ada") == "applied"
    assert ada.deliveries.troubles() == []


def test_a_refused_key_that_is_retired_is_forgotten(ada):
    """What nobody uses any more is nobody's trouble."""
    good = StreamKey(OTHER_KEY, SECRETS[OTHER_KEY].encode(), KeyState.ACTIVE)
    ada.stream.fail_with(43, ROUTE)
    ada.ring.append(good)
    ada.revoke("ada")
    ada.deliver()
    assert len(ada.deliveries.troubles()) == 1
    ada.ring[:] = [good]
    ada.revoke("ada")
    ada.deliver()
    assert ada.deliveries.troubles() == []


def test_the_operator_need_not_wait(ada):
    """`retry` makes due now what waits for another attempt."""
    ada.stream.app.unchangeable = {"ada"}
    ada.revoke("ada")
    for _ in range(9):
        ada.deliver()
        ada.pass_time(3601)
    ada.deliver()
    ada.stream.app.unchangeable = set()
    assert ada.deliver() == 0
    assert ada.deliveries.retry(ORDER) == 1
    ada.deliver()
    assert ada.state("user", "ada") == "applied"


def test_a_retry_is_taken_up_within_half_a_minute(ada):
    """After however long an outage: so much a sender slows down by itself at most."""
    ada.stream.faults.refuse(ROUTE, times=None)
    ada.revoke("ada")
    for _ in range(40):
        ada.deliver()
        ada.pass_time(61)
    ada.deliver()
    ada.stream.faults.clear()
    assert ada.deliveries.retry(ORDER) == 1
    ada.pass_time(30)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")


def test_without_any_key_acts_wait(ada):
    """A ring without keys is a fault of ours to mend, not the end of an act."""
    key = ada.ring.pop()
    ada.revoke("ada")
    ada.deliver()
    assert "no Stream key" in ada.row("user", "ada").last_error
    ada.ring.append(key)
    ada.pass_time(2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"


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
    world.pass_time(RESEND + 2)
    world.deliver()
    assert world.stream.app.settings[CUT_OFF] is None
    assert world.state("app") == "applied"
