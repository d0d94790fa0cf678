"""How often Stream is called while it does not answer, or asks for a pause; and who is told."""

from dataclasses import replace

from testing.response import Response
from tests.delivery.conftest import CONTEXT
from tokensvc.delivery.rules import RESEND_SECONDS
from tokensvc.stream.api import StreamApi

ROUTE = "PATCH /users"


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
    (trouble,) = ada.deliveries.warnings()
    assert trouble.startswith("1 failed")
    ada.stream.faults.clear()
    ada.deliver()
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
    assert ada.deliveries.warnings() == []


def test_what_is_due_and_not_tried_is_shown(ada):
    """Without any sender at work, an operator is told after a minute."""
    ada.revoke("ada")
    assert ada.deliveries.warnings() == []
    ada.pass_time(62)
    (trouble,) = ada.deliveries.warnings()
    assert "tokensvc worker" in trouble


def test_a_rate_limit_is_respected(ada):
    """`Retry-After` holds for every call of its kind, and for no other kind."""
    ada.stream.fail_with(9, ROUTE, retry_after=40)
    ada.revoke("ada")
    ada.deliver()
    ada.have("bob")
    ada.revoke("bob")
    ada.revoke(None)
    early = ada.almost(40)
    ada.pass_time(early)
    ada.deliver()
    assert ada.routes() == [ROUTE, "PATCH /app"]
    assert ada.row("user", "bob").attempts == 0  # which is not bob's fault
    ada.pass_time(42 - early)
    ada.deliver()
    assert ada.state("user", "ada") == ada.state("user", "bob") == "applied"
    assert ada.row("user", "ada").resend_at is None


def test_where_every_answer_asks_for_a_pause_a_refused_batch_gets_smaller(world, monkeypatch):
    """Else one user that Stream does not have would keep the others' cut-offs away for ever."""
    users = [f"u{number}" for number in range(8)]
    world.have(*users)
    for user_id in [*users, "gone"]:
        world.revoke(user_id)
    call = StreamApi.set_cut_offs
    monkeypatch.setattr(StreamApi, "set_cut_offs", lambda *given: replace(call(*given), wait=10.0))
    for _ in range(40):
        world.deliver()
        world.pass_time(61)
    assert {world.state("user", user_id) for user_id in users} == {"applied"}


def test_a_used_up_rate_limit_is_respected(ada):
    """The last call of a minute says so: the next one waits for the minute's end."""
    ada.stream.clock.frozen_at = 1_800_000_000
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1800000030"}
    body = {"users": {"ada": {"id": "ada"}}, "duration": "1ms"}
    ada.stream.faults.respond(Response(200, body, used_up), ROUTE)
    ada.revoke("ada")
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
    ada.revoke("ada")
    early = ada.almost(30)
    ada.pass_time(early)
    ada.deliver()
    assert ada.routes() == [ROUTE]
    ada.pass_time(31 - early)
    ada.deliver()
    assert ada.routes() == [ROUTE, ROUTE]


def test_failing_calls_come_less_and_less_often(ada):
    """A Stream that is down is not hammered, however much there is to tell it."""
    ada.stream.faults.respond(Response(503, b""), times=None)
    for number in range(40):
        ada.have(f"u{number}")
    for _ in range(120):
        ada.revoke(f"u{_ % 40}")
        ada.deliver()
        ada.pass_time(1)
    assert len(ada.routes()) <= 12


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
    assert ada.deliveries.retry(CONTEXT) == 1
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
    assert ada.deliveries.retry(CONTEXT) == 1
    ada.pass_time(30)
    ada.deliver()
    assert ada.at_stream("ada") == ada.cut_off("ada")
