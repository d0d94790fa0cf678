"""The frequency of calls while Stream does not respond or asks for a pause."""

from dataclasses import replace

from testing.database_kinds import on_both
from testing.response import Response
from tests.stream.delivery.conftest import CONTEXT
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery import service
from tokensvc.stream.delivery.rules import RESEND_SECONDS
from tokensvc.stream.delivery.service import Deliveries
from tokensvc.stream.delivery.tables import deliveries

ROUTE = "PATCH /users"


def test_delivery_is_failed_after_four_minutes_of_outage(ada):
    """The operator is warned, and the delivery is retried once a minute."""
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
    (warning,) = ada.deliveries.warnings()
    assert warning.startswith("1 failed")
    ada.stream.faults.clear()
    ada.deliver()
    ada.pass_time(RESEND_SECONDS + 2)
    ada.deliver()
    assert ada.state("user", "ada") == "applied"
    assert ada.deliveries.warnings() == []


def test_operator_is_warned_if_no_sender_runs(ada):
    """After a minute."""
    ada.revoke("ada")
    assert ada.deliveries.warnings() == []
    ada.pass_time(62)
    (warning,) = ada.deliveries.warnings()
    assert "tokensvc worker" in warning


def test_retry_after_pauses_all_calls_of_one_kind(ada):
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
    assert ada.row("user", "bob").attempts == 0  # not because of bob
    ada.pass_time(42 - early)
    ada.deliver()
    assert ada.state("user", "ada") == ada.state("user", "bob") == "applied"
    assert ada.row("user", "ada").resend_at is None


def test_refused_user_is_isolated_even_if_each_response_asks_for_a_pause(world, monkeypatch):
    """One refused user must not delay the others permanently."""
    users = [f"u{number}" for number in range(8)]
    world.have("bad", *users)
    world.stream.app.unchangeable = {"bad"}
    for user_id in [*users, "bad", "gone"]:
        world.revoke(user_id)
    call = StreamApi.set_cut_offs
    monkeypatch.setattr(StreamApi, "set_cut_offs", lambda *given: replace(call(*given), wait=10.0))
    for _ in range(40):
        world.deliver()
        world.pass_time(61)
    assert {world.state("user", user_id) for user_id in users} == {"applied"}


def test_used_up_rate_limit_pauses_until_its_reset(ada):
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


def test_failing_calls_become_less_frequent(ada):
    ada.stream.faults.respond(Response(503, b""), times=None)
    for number in range(40):
        ada.have(f"u{number}")
    for _ in range(120):
        ada.revoke(f"u{_ % 40}")
        ada.deliver()
        ada.pass_time(1)
    assert len(ada.routes()) <= 12


@on_both
def test_retry_makes_failed_deliveries_due_now(ada):
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


def test_retry_is_attempted_within_half_a_minute(ada):
    """The longest pause of a sender after an outage of any length."""
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


def oldest_seconds(world):
    return next(of.oldest_seconds for of in world.deliveries.waiting() if of.kind == "user")


def test_age_of_the_oldest_goes_on_when_it_fails_or_changes(ada):
    """It ends when Stream has the state."""
    ada.stream.faults.refuse(ROUTE, times=None)
    ada.revoke("ada")
    for _ in range(12):
        ada.deliver()
        ada.pass_time(61)
    assert ada.state("user", "ada") == "failed"
    assert oldest_seconds(ada) >= 12 * 61
    ada.revoke("ada")
    assert oldest_seconds(ada) >= 12 * 61
    ada.stream.faults.clear()
    ada.pass_time(61)
    ada.deliver()
    assert oldest_seconds(ada) == 0
    ada.revoke("ada")
    assert oldest_seconds(ada) < 61


@on_both
def test_age_is_of_the_oldest_even_if_not_all_are_counted(world, monkeypatch):
    """The order of the attempts is another one."""
    monkeypatch.setattr(service, "_MAX_COUNT", 1)
    world.deliveries = Deliveries(world.database, world.now, dict, is_delivery_on=True)
    for user_id in ("ada", "bob", "cyd"):
        world.revoke(user_id)
    with world.database.write() as tx:
        bob = deliveries.update().where(deliveries.c.subject == "bob")
        tx.execute(bob.values(late_since=deliveries.c.late_since - 300))
        tx.execute(bob.values(due_at=deliveries.c.due_at + 300))
    assert oldest_seconds(world) >= 300
