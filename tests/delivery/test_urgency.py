"""An act waits for the call that is under way, not for a batch that is taken to pieces."""

import pytest

from tests.delivery.conftest import CONTEXT

APP, CHANGE, CREATE, FIND = "PATCH /app", "PATCH /users", "POST /users", "GET /users"
MANY = [f"u{number:02}" for number in range(100)]


def set_profiles(world, users):
    for user_id in users:
        world.deliveries.set_profile(user_id, {"id": user_id, "name": "N"}, "svc.backend")


def act_during(world, route, act):
    """Let something happen while the sender's next call of a route is under way."""
    hanging = world.stream.faults.hang(route)
    before = len(world.stream.calls.to(*route.split()))
    with world.delivering():
        world.stream.calls.wait_for(*route.split(), before + 1)
        act()
        hanging.release()


@pytest.mark.parametrize(
    ("user_id", "during", "act"), [("eve", CHANGE, CHANGE), (None, CHANGE, APP), (None, FIND, APP)]
)
def test_an_act_goes_before_the_next_call_for_profiles(world, user_id, during, act):
    """The answer who is known is used at once; who is to be created is asked for anew."""
    world.have("ada", "eve")
    set_profiles(world, ["ada", "bob"])
    act_during(world, during, lambda: world.revoke(user_id))
    assert world.row("profile", "bob").attempts == 0
    world.deliver()
    assert world.routes() == [FIND, CHANGE, act, FIND, CREATE]
    assert {world.state("profile", each) for each in ("ada", "bob")} == {"applied"}


def test_an_act_does_not_wait_for_refused_profiles(world):
    """A hundred of them would be two hundred calls: the act's is the next."""
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
    assert {world.state("profile", user_id) for user_id in MANY} == {"failed"}


def test_an_act_against_everyone_does_not_wait_for_refused_users(world):
    """Not even for the question which of them Stream does not have."""
    world.have(*MANY)
    world.stream.app.unchangeable = set(MANY)
    for user_id in MANY:
        world.revoke(user_id)
    act_during(world, CHANGE, lambda: world.revoke(None))
    world.sender.step()
    assert world.routes() == [CHANGE, APP]
    world.deliver()
    assert {world.state("user", user_id) for user_id in MANY} == {"failed"}


def test_an_act_does_not_wait_for_those_that_have_failed(world):
    """Nor for profiles that are due beside them."""
    world.have("ada", "bob", "eve")
    world.stream.app.unchangeable = {"ada", "bob"}
    for user_id in ("ada", "bob"):
        world.revoke(user_id)
    world.deliver()
    set_profiles(world, ["eve"])
    world.stream.calls.clear()
    world.pass_time(2)
    act_during(world, CHANGE, lambda: world.revoke("eve"))
    assert world.routes() == [CHANGE]
    world.sender.step()
    assert world.state("user", "eve") == "applied"
    assert world.routes() == [CHANGE, CHANGE]


def test_what_stream_will_not_be_called_for_keeps_nothing_waiting(world):
    """Everyone's act waits for Stream's `Retry-After`: users are gone through to the end."""
    world.have(*MANY[:8])
    world.stream.app.unchangeable = {MANY[3]}
    world.stream.fail_with(9, APP, retry_after=40)
    world.revoke(None)
    world.sender.step()
    for user_id in MANY[:8]:
        world.revoke(user_id)
    world.deliveries.retry(CONTEXT)
    world.sender.step()
    states = [world.state("user", user_id) for user_id in MANY[:8]]
    assert states == ["applied"] * 3 + ["failed"] + ["applied"] * 4
    assert world.state("app") == "pending"


@pytest.mark.parametrize(("kind", "call"), [("profile", "change_users"), ("user", "set_cut_offs")])
def test_acts_without_end_do_not_keep_a_batch_from_its_end(world, kind, call, monkeypatch):
    """A more urgent one during each call: the bad user is found all the same, the rest goes."""
    world.have("eve", *MANY)
    world.stream.app.unchangeable = {"u17"}
    if kind == "profile":
        set_profiles(world, MANY)
    else:
        for user_id in MANY:
            world.revoke(user_id)
    calls = getattr(world.sender._api, call)

    def call_while_an_act_comes(*arguments):
        world.revoke("eve" if kind == "profile" else None)
        return calls(*arguments)

    monkeypatch.setattr(world.sender._api, call, call_while_an_act_comes)
    world.deliver(limit=200)
    assert world.state(kind, "u17") == "failed"
    others = [user_id for user_id in MANY if user_id != "u17"]
    assert {world.state(kind, user_id) for user_id in others} == {"applied"}
