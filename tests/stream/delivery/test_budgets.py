"""Deliveries use a share of Stream's rate limits, and leave the rest to the app's own backend."""

import time
from bisect import bisect_left

import pytest

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import call, sign
from testing.doubles.stream_limits import SECOND
from testing.manual_clock import ManualClock
from testing.waiting import wait_until
from testing.world import METRICS_TOKEN, running_world
from tests.stream.delivery.conftest import CONTEXT, SECRETS, World
from tokensvc.database.engine import Database
from tokensvc.limits.rules import MICROSECONDS, gcra
from tokensvc.stream.api import StreamApi
from tokensvc.stream.delivery.pace import budget_of

CHANGE = "PATCH /users"
START = 1_800_000_000
TICK = 0.125
"""Seconds, exact as a binary number."""
SUSPENDED = 480
"""As many as the senders have steps within a minute."""


@pytest.mark.parametrize("limit", [1, 60, 300, 1_000])
@pytest.mark.parametrize("share", [0.01, 0.5, 1])
def test_no_minute_and_no_second_has_more_calls_than_the_share(limit, share):
    """However Stream's windows begin. One call at a time is always allowed."""
    period, burst = budget_of(limit, share)
    unused_at, times = 0, []
    for now in range(0, 150 * MICROSECONDS, 2_000):
        decision = gcra(unused_at, now, period, burst)
        if decision.allowed:
            times.append(now)
            unused_at = now + decision.backlog + period
    for window, allowed in ((60, limit * share), (1, limit * share / SECOND)):
        numbers = (
            bisect_left(times, start + window * MICROSECONDS) - first
            for first, start in enumerate(times)
        )
        assert max(numbers) <= max(1, allowed)
    assert len(times) >= int(2 * limit * share)


@pytest.fixture
def limited(migrated_sqlite_url):
    """Yield a world with Stream's limits, in which all parts have the time of the test."""
    database = Database.open(migrated_sqlite_url, pool_size=2)
    with StreamDouble(SECRETS) as stream:
        world = World(database, ManualClock(float(START)), stream)
        stream.clock.frozen_at = float(START)
        world.share = 0.5
        yield world
    database.close()


def pass_time(world, seconds):
    world.pass_time(seconds)
    world.stream.clock.frozen_at = world.clock.now


def senders_of(world, number):
    """Return senders as of different processes: each learns Stream's limits itself."""
    for _ in range(number):
        world.api = StreamApi(world.stream.url, time.time)
        yield world.another_sender()


def change_by_backend(stream, users):
    """Change users one by one, as the app's own backend does, and return the statuses."""
    server = sign({"server": True})
    return [
        call(
            stream, server, method="PATCH", path="/users", body={"users": [{"id": user, "set": {}}]}
        ).status
        for user in users
    ]


def test_suspensions_of_a_minute_are_applied_while_the_backend_changes_users(limited):
    """480 suspensions, four senders, and 150 calls of the app's own backend to the same limit."""
    users = [f"u{number}" for number in range(SUSPENDED)]
    limited.have(*users)
    senders = list(senders_of(limited, 4))
    statuses, suspended = [], 0
    for tick in range(int(90 / TICK)):
        elapsed = tick * TICK
        if elapsed % 2 == 0 and elapsed < 60:
            statuses += change_by_backend(limited.stream, users[:5])
        while suspended < min(SUSPENDED, SUSPENDED * elapsed / 60):
            limited.revocations.suspend(users[suspended], CONTEXT)
            suspended += 1
        senders[tick % len(senders)].step()
        pass_time(limited, TICK)
    assert statuses == [200] * 150
    assert {*limited.states("user", users).values()} == {"applied"}
    assert all(limited.at_stream(user_id) for user_id in users)
    assert {call.status for call in limited.stream.calls.all()} == {200}


def test_limit_that_a_response_states_is_used(limited):
    """Half of 12 calls in a minute is one in ten seconds; until the response, 300 are assumed."""
    limited.stream.limits.per_minute[CHANGE] = 12
    limited.have("ada")
    (sender,) = senders_of(limited, 1)
    seconds = []
    for tick in range(int(25 / TICK)):
        limited.revoke("ada")
        if sender.step():
            seconds.append(int(tick * TICK))
        pass_time(limited, TICK)
    assert seconds == [0, 0, 10, 20]


def test_used_up_budget_of_one_endpoint_delays_no_other(limited):
    limited.have("ada")
    (sender,) = senders_of(limited, 1)
    for _ in range(10):
        limited.revoke(None)
        limited.revoke("ada")
        limited.deliver(sender)
    routes = limited.routes()
    assert routes == ["PATCH /app", CHANGE, CHANGE]


def next_steps(world):
    """Return when the sender's next step is due."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    lines = world.anonymous.get("/metrics", headers=headers).text.splitlines()
    return [line for line in lines if line.startswith("tokensvc_loop_due") and '"delivery"' in line]


def test_share_is_a_setting(tmp_path):
    """With a thousandth of the limit, the call for a second user waits for minutes."""
    settings = {"TOKENSVC_STREAM__SHARE": "0.001", "TOKENSVC_WORKERS": "1"}
    with running_world(tmp_path, **settings) as world:
        for user_id in ("ada", "bob"):
            world.make_stream_user(user_id)
            assert world.suspend(user_id).status == 200
            world.stream.calls.wait_for("PATCH", "/users")
        for _ in range(3):
            before = next_steps(world)
            wait_until(lambda before=before: next_steps(world) != before, "the sender has looked")
        assert len(world.stream.calls.to("PATCH", "/users")) == 1
