"""Cut-offs that a clock set in the future, and the action that lowers them."""

import time

import pytest
import sqlalchemy as sa

from testing.waiting import wait_until
from testing.world import CUT_OFF, claims, minted, running_world
from tokensvc.audit.rules import Action
from tokensvc.audit.tables import audit_events
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.revocations.clock_faults import TOLERANCE, ClockFaults
from tokensvc.revocations.tables import revocations as rows
from tokensvc.standing.tables import app_standing, user_standings
from tokensvc.stream.api import rfc3339
from tokensvc.stream.delivery.tables import deliveries

CONTEXT = ActionContext("cli:root", "clock was ahead")
YEAR = 365 * 24 * 3600
JOHN, JANE = Target("john"), Target("jane")


@pytest.fixture
def faults(database, now):
    return ClockFaults(database, now)


def move(database, target, seconds):
    """Move the cut-offs and deliveries of a target, as if its actions had been later."""
    table = app_standing if target == APP else user_standings
    one = rows.c.user_id.is_not_distinct_from(target.user_id)
    user = [] if target == APP else [user_standings.c.user_id == target.user_id]
    times = ["floor", "tokens_valid_after"] + ([] if target == APP else ["suspended_at"])
    due_at = deliveries.c.due_at + seconds
    with database.write() as tx:
        later = {name: table.c[name] + seconds for name in times}
        tx.execute(sa.update(table).where(*user).values(later))
        cut_off = rows.c.tokens_valid_after + seconds
        tx.execute(sa.update(rows).where(one).values(tokens_valid_after=cut_off))
        mine = sa.update(deliveries).where(deliveries.c.subject == (target.user_id or ""))
        tx.execute(mine.values(due_at=due_at, lease_until=due_at, resend_at=due_at))


def stored_cut_offs(database, target):
    one = rows.c.user_id.is_not_distinct_from(target.user_id)
    with database.read() as connection:
        statement = sa.select(rows.c.tokens_valid_after).where(one).order_by(rows.c.id)
        return list(connection.scalars(statement))


@pytest.mark.parametrize("target", [JOHN, APP], ids=["user", "app"])
def test_cut_off_in_the_future_is_lowered_to_now(target, faults, revocations, standings, database):
    """All sign-ins until now stay refused."""
    revocations.revoke(target, CONTEXT)
    move(database, target, YEAR)
    assert faults.find() == [target]
    before = standings.read("john").now
    faults.lower(target, CONTEXT)
    standing = standings.read("john")
    assert before < standing.floor <= standing.now + 1
    assert standing.tokens_valid_after == standing.floor
    assert stored_cut_offs(database, target) == [standing.floor]
    assert revocations.state(target).tokens_valid_after == standing.floor
    assert faults.find() == []
    assert faults.warning() is None


def test_cut_offs_in_the_past_are_not_lowered(faults, revocations, standings, database):
    """Undoing the lowered one brings back the one before it, and keeps the floor."""
    earlier = revocations.revoke(JOHN, CONTEXT).tokens_valid_after
    move(database, JOHN, -YEAR)
    latest = revocations.revoke(JOHN, CONTEXT)
    ahead = sa.update(rows).where(rows.c.id == latest.revocation.id)
    with database.write() as tx:
        tx.execute(ahead.values(tokens_valid_after=latest.tokens_valid_after + YEAR))
        times = dict.fromkeys(("floor", "tokens_valid_after"), latest.tokens_valid_after + YEAR)
        tx.execute(sa.update(user_standings).values(times))
    faults.lower(JOHN, CONTEXT)
    floor = standings.read("john").floor
    assert stored_cut_offs(database, JOHN) == [earlier - YEAR, floor]
    undone = revocations.undo(JOHN, latest.revocation.id, CONTEXT)
    assert undone.tokens_valid_after == earlier - YEAR
    assert standings.read("john").floor == floor


def test_suspension_stays(faults, revocations, standings, database):
    """Its start is not in the future any longer."""
    revocations.suspend("john", CONTEXT)
    move(database, JOHN, YEAR)
    faults.lower(JOHN, CONTEXT)
    assert standings.read("john").suspended
    assert revocations.state(JOHN).suspended_at <= standings.read("john").now


def test_floor_within_the_tolerance_is_no_fault(faults, revocations, database):
    """A revocation that is taking effect is not lowered."""
    revocations.revoke(JOHN, CONTEXT)
    move(database, JOHN, TOLERANCE - 10)
    before = stored_cut_offs(database, JOHN)
    assert faults.find() == []
    faults.lower(JOHN, CONTEXT)
    assert stored_cut_offs(database, JOHN) == before


def test_lowering_is_audited_and_dry_run_changes_nothing(faults, revocations, database):
    for target in (APP, JOHN):
        revocations.revoke(target, CONTEXT)
        move(database, target, YEAR)
    before = [stored_cut_offs(database, target) for target in (APP, JOHN)]
    for target in faults.find():
        faults.lower(target, ActionContext("cli:root", dry_run=True))
    assert [stored_cut_offs(database, target) for target in (APP, JOHN)] == before
    for target in faults.find():
        faults.lower(target, CONTEXT)
        faults.lower(target, CONTEXT)
    named = sa.select(audit_events.c.action, audit_events.c.subject, audit_events.c.reason)
    with database.read() as connection:
        events = connection.execute(named.order_by(audit_events.c.id)).all()
    assert [tuple(event) for event in events][2:] == [
        (Action.APP_FLOOR_LOWERED, "app", CONTEXT.reason),
        (Action.USER_FLOOR_LOWERED, "john", CONTEXT.reason),
    ]


def test_deliveries_of_the_future_are_due_again(faults, revocations, database, now):
    """Also those of other targets, such as an undo whose cut-off is not in the future."""
    for target in (JOHN, JANE):
        revocations.revoke(target, CONTEXT)
    move(database, JOHN, YEAR)
    faults.lower(JOHN, CONTEXT)
    with database.write() as tx:
        tx.execute(
            sa.update(deliveries).values(
                due_at=deliveries.c.due_at + YEAR, lease_until=deliveries.c.due_at + YEAR
            )
        )
    faults.restart_deliveries()
    with database.read() as connection:
        for row in connection.execute(sa.select(deliveries)):
            assert row.due_at <= now()
            assert row.lease_until is None
            assert row.resend_at <= now() + 61


@pytest.mark.parametrize("count", [1, 3, 1001])
def test_warning_names_the_command_and_who_gets_no_token(count, faults, database, monkeypatch):
    future = int(faults.database_clock()) + YEAR
    with database.write() as tx:
        users = [{"user_id": f"user-{number}", "floor": future} for number in range(count)]
        tx.execute(sa.insert(user_standings), users)
    who = {1: "the user user-0", 3: "3 users", 1001: "1000 or more users"}[count]
    assert f"no token is minted for {who}:" in faults.warning().detail
    assert "`tokensvc app lower-floor`" in faults.warning().detail


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Yield a service whose database a clock that was ahead has used."""
    with running_world(tmp_path_factory.mktemp("clock")) as running:
        for path in ("/v1/app/revocations", "/v1/users/bob/revocations"):
            assert running.operator.post(path, headers={"Prefer": "wait=10"}).status == 200
        for target in (APP, Target("bob")):
            move(running.database, target, YEAR)
        yield running


def test_operator_ends_a_clock_fault(world):
    """`readyz` and `doctor` name it; after the command, only new sign-ins get tokens."""
    old = world.signed_in("ada")
    assert old.post("/v1/token").code == "sign_in_required"
    assert world.vouching.post("/v1/token", json={"user_id": "ada"}).status == 503
    check = world.wait_for_check("cut_offs", "degraded")
    assert "no token is minted for any user" in check["detail"]
    doctor = world.command("doctor")
    assert doctor.code == 1
    assert "`tokensvc app lower-floor`" in doctor.out
    planned = world.command("app", "lower-floor", "--dry-run", "--json").json
    assert planned == {"app": True, "users": ["bob"], "dry_run": True}
    assert world.vouching.post("/v1/token", json={"user_id": "ada"}).status == 503

    lowered = world.command("app", "lower-floor", "--reason", "NTP was off")
    assert lowered.code == 0, lowered.err
    assert "bob" in lowered.out
    app = world.operator.get("/v1/app").json
    assert app["tokens_valid_after"] <= time.time() + 1
    assert old.post("/v1/token").code == "sign_in_required"
    minted_claims = claims(minted(world.vouching, user_id="ada"))
    assert minted_claims["iat"] >= app["tokens_valid_after"]
    assert world.command("app", "lower-floor", "--json").json == {"app": False, "users": []}


def test_stream_gets_the_lowered_cut_off(world):
    """Stream was sent the one in the future."""
    world.make_stream_user("eve")
    assert world.revoke("eve", headers={"Prefer": "wait=10"}).json["stream"]["state"] == "applied"
    with world.database.write() as tx:
        future = int(time.time()) + YEAR
        one = sa.update(user_standings).where(user_standings.c.user_id == "eve")
        tx.execute(one.values(floor=future, tokens_valid_after=future))
        tx.execute(sa.update(rows).where(rows.c.user_id == "eve").values(tokens_valid_after=future))
    assert world.command("app", "lower-floor").code == 0
    state = world.operator.get("/v1/users/eve").json
    cut_off = rfc3339(state["tokens_valid_after"])
    users = world.stream.app.users
    wait_until(lambda: users["eve"].get(CUT_OFF) == cut_off, "Stream has it")


def test_clock_that_is_behind_lowers_nothing(world):
    """Otherwise each cut-off would look like one in the future, and its credentials work again."""
    world.stream.clock.offset = 3600
    try:
        ended = world.command("app", "lower-floor")
    finally:
        world.stream.clock.offset = 0
    assert ended.code == 1
    assert "behind Stream's. Correct it first" in ended.err


def test_clock_that_cannot_be_compared_is_reported(world):
    world.stream.faults.refuse("GET /app")
    ended = world.command("app", "lower-floor")
    assert ended.code == 0
    assert "not compared with Stream's" in ended.err
