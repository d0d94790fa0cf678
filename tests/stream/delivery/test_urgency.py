"""An action waits for the current call, not for the rest of a less urgent batch."""

import pytest

from testing.database_kinds import on_both
from tests.stream.delivery.conftest import CONTEXT
from tokensvc.stream.delivery.lanes import CUT_OFFS, QUEUES

APP, CHANGE, CREATE, FIND = "PATCH /app", "PATCH /users", "POST /users", "GET /users"
MANY = [f"u{number:02}" for number in range(20)]


def set_profiles(world, users):
    with world.database.write() as tx:
        for user_id in users:
            user = {"id": user_id, "name": "N"}
            world.deliveries.set_profile_within(tx, user_id, user, "svc.backend")


def act_during(world, route, action):
    """Call a function while the sender's next call of a route is in progress."""
    hanging = world.stream.faults.hang(route)
    before = len(world.stream.calls.to(*route.split()))
    with world.delivering():
        world.stream.calls.wait_for(*route.split(), before + 1)
        action()
        hanging.release()


@on_both
@pytest.mark.parametrize(("user_id", "route"), [("eve", CHANGE), (None, APP)])
def test_action_goes_before_the_rest_of_the_profiles(world, user_id, route):
    """One part of a batch of profiles is sent in a step; the rest is found again."""
    world.have("ada", "eve")
    set_profiles(world, ["ada", "bob"])
    act_during(world, CHANGE, lambda: world.revoke(user_id))
    assert world.row("profile", "bob").attempts == 0
    world.deliver()
    assert world.routes() == [FIND, CHANGE, route, FIND, CREATE]
    assert {world.state("profile", user_id) for user_id in ("ada", "bob")} == {"applied"}


def test_action_does_not_wait_for_refused_profiles(world):
    world.have("eve", *MANY)
    world.stream.app.unchangeable = set(MANY)
    set_profiles(world, MANY)
    act_during(world, CHANGE, lambda: world.revoke("eve"))
    assert world.routes() == [FIND, CHANGE]
    rows = [world.row("profile", user_id) for user_id in MANY]
    assert {(row.lease_until, row.attempts, row.state) for row in rows} == {(None, 0, "pending")}
    world.sender.step()
    assert world.routes() == [FIND, CHANGE, CHANGE]
    assert world.state("user", "eve") == "applied"
    world.deliver()
    assert {*world.states("profile", MANY).values()} == {"failed"}


@pytest.mark.parametrize("refused", [MANY, []])
def test_app_revocation_does_not_wait_for_refused_users(world, refused):
    """Neither for smaller batches nor for the query of absent users."""
    world.have(*refused)
    world.stream.app.unchangeable = set(refused)
    world.revoke_each(*MANY)
    act_during(world, CHANGE, lambda: world.revoke(None))
    world.sender.step()
    assert world.routes() == [CHANGE, APP]
    world.deliver()
    assert {*world.states("user", MANY).values()} == {"failed" if refused else "absent"}


def test_action_does_not_wait_for_failed_ones_nor_for_profiles(world):
    world.have("ada", "bob", "eve")
    world.stream.app.unchangeable = {"ada", "bob"}
    for user_id in ("ada", "bob"):
        world.revoke(user_id)
    world.deliver()
    set_profiles(world, ["eve"])
    world.stream.calls.clear()
    world.pass_time(2)
    act_during(world, FIND, lambda: world.revoke("eve"))
    world.sender.step()
    assert world.state("user", "eve") == "applied"
    assert world.state("profile", "eve") == "pending"


def test_absent_users_do_not_delay_profiles(world):
    """Queues other than those of new actions take turns, even if one is always due."""
    world.revoke_each(*MANY)
    world.deliver()
    set_profiles(world, ["ada"])
    for _ in range(3):
        world.pass_time(61)
        world.sender._stream.batch_sizes.update(dict.fromkeys(QUEUES, 1))
        world.sender.step()
    assert world.state("profile", "ada") == "applied"


def test_paused_app_revocation_does_not_delay_users(world):
    """`Retry-After` pauses one kind of call only."""
    world.have(*MANY[:8])
    world.stream.app.unchangeable = {MANY[3]}
    world.stream.fail_with(9, APP, retry_after=40)
    world.revoke(None)
    world.sender.step()
    world.revoke_each(*MANY[:8])
    world.deliveries.retry(CONTEXT)
    world.deliver()
    states = [world.state("user", user_id) for user_id in MANY[:8]]
    assert states == ["applied"] * 3 + ["failed"] + ["applied"] * 4
    assert world.state("app") == "pending"


@on_both
def test_renewals_go_after_cut_offs_and_before_profiles(world):
    """However long they have waited. A renewal does not make a pending cut-off less urgent."""
    world.have("ada", "bob", "eve")
    fill_calls_with_cut_offs(world)
    world.revoke("ada")
    world.deliver()
    world.stream.calls.clear()
    set_profiles(world, ["ada"])
    world.revoke("bob")
    world.pass_time(2)
    for user_id in ("ada", "bob"):
        world.renew(user_id)
    world.revoke("eve")
    world.deliver()
    assert world.routes() == [CHANGE, CHANGE, FIND, CHANGE]
    sent = [
        sorted(user["id"] for user in call.json["users"])
        for call in world.stream.calls.to("PATCH", "/users")
    ]
    assert sent == [["bob", "eve"], ["ada"], ["ada"]]
    assert {*world.states("user", ["ada", "bob", "eve"]).values()} == {"applied"}


def test_cut_off_is_urgent_although_a_renewal_is_pending(world):
    world.have("ada", "bob")
    world.renew("ada")
    world.renew("bob")
    world.revoke("bob")
    fill_calls_with_cut_offs(world)
    world.sender.step()
    assert (world.state("user", "bob"), world.state("user", "ada")) == ("applied", "pending")


def fill_calls_with_cut_offs(world):
    """Let a call have no place for a renewal next to the cut-offs of a test."""
    world.sender._stream.batch_sizes[CUT_OFFS] = 2


@on_both
def test_renewal_goes_with_the_cut_offs_of_a_call_that_has_place(world):
    """Otherwise it would wait while cut-offs use up Stream's limits."""
    world.have("ada", "bob")
    world.renew("ada")
    world.revoke("bob")
    world.sender.step()
    assert world.routes() == [CHANGE]
    assert (world.state("user", "bob"), world.state("user", "ada")) == ("applied", "applied")


def test_renewal_that_stream_refuses_goes_with_no_cut_off_after_the_first(world):
    world.have("ada", "bob", "eve")
    world.stream.app.unchangeable = {"ada"}
    world.renew("ada")
    world.revoke("bob")
    world.sender.step()
    world.revoke("eve")
    for _ in range(2):
        world.sender.step()
    assert {*world.states("user", ["bob", "eve"]).values()} == {"applied"}
    assert world.state("user", "ada") == "pending"


@pytest.mark.parametrize("kind", ["profile", "user"])
def test_refused_user_is_isolated_despite_endless_urgent_actions(world, kind, monkeypatch):
    """A more urgent action comes during each call."""
    world.have("eve", *MANY)
    world.stream.app.unchangeable = {"u17"}
    if kind == "profile":
        set_profiles(world, MANY)
    else:
        world.revoke_each(*MANY)
    name = "change_users" if kind == "profile" else "set_cut_offs"
    call = getattr(world.api, name)

    def call_during_an_action(key, users):
        if "eve" not in users:
            world.revoke("eve" if kind == "profile" else None)
        return call(key, users)

    monkeypatch.setattr(world.api, name, call_during_an_action)
    world.deliver()
    assert world.state(kind, "u17") == "failed"
    others = [user_id for user_id in MANY if user_id != "u17"]
    assert {*world.states(kind, others).values()} == {"applied"}
