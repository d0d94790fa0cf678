"""The active key is checked in the background: minting goes on, and operators are told."""

import pytest
from structlog.testing import capture_logs

from testing.accounts import PASSWORD
from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.waiting import wait_until
from testing.world import METRICS_TOKEN, running_world
from tests.accounts.conftest import ENABLED
from tests.ops.services import figure
from tests.stream.keys.ring import OTHER_SECRET, SECRET, add, change, current
from tests.stream.keys.test_routes import KeysWorld
from tokensvc.app.loops import ACTIVE_KEY_INTERVAL
from tokensvc.stream.keys.active_key_check import CHECK_SECONDS

REGENERATED = "a-secret-that-the-dashboard-regenerated-45"

ACCEPTED = "tokensvc_stream_key_accepted"


def metric(world, name):
    """Return the value of a metric, with its labels."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    lines = world.anonymous.get("/metrics", headers=headers).text.splitlines()
    return [line for line in lines if line.startswith(name)]


def loop_due(world):
    """Return the time of the next step of the check, once it has run."""
    name = 'tokensvc_loop_due_timestamp_seconds{loop="active_key"'
    return [float(line.rpartition(" ")[2]) for line in metric(world, name)]


def test_refused_key_degrades_the_service_and_minting_goes_on(tmp_path):
    """Until another key is active, also in the eyes of `doctor`."""
    with (
        StreamDouble({STREAM_API_KEY: REGENERATED}) as stream,
        running_world(tmp_path, KeysWorld, stream) as world,
    ):
        wait_until(lambda: world.check("stream_keys")["state"] != "ok", "the key is checked")
        status, readiness = world.readiness()
        assert (status, readiness["status"]) == (200, "degraded")
        assert world.check("stream_keys")["state"] == "degraded"
        assert "code 43" in world.check("stream_keys")["detail"]
        assert metric(world, "tokensvc_stream_key_accepted") == [
            'tokensvc_stream_key_accepted{key="active"} 0.0'
        ]
        (line,) = world.log("stream_key_refused")
        assert (line["level"], line["api_key"]) == ("warning", STREAM_API_KEY)
        assert STREAM_API_SECRET not in world.service.log_path.read_text()
        assert world.mint().status == 200
        doctor = world.command("doctor")
        assert doctor.code == 1
        assert "FAIL  Stream key" in doctor.out

        added = world.add(STREAM_API_KEY, REGENERATED)
        assert world.act(added.json["id"], "activate").status == 200
        assert world.mint().status == 200
        wait_until(lambda: world.check("stream_keys")["state"] == "ok", "the new key counts")


def test_accepted_key_is_in_the_metrics(tmp_path):
    with running_world(tmp_path) as world:
        wait_until(lambda: metric(world, "tokensvc_stream_key_accepted"), "the key is checked")
        assert metric(world, "tokensvc_stream_key_accepted") == [
            'tokensvc_stream_key_accepted{key="active"} 1.0'
        ]
        assert world.check("stream_keys") == {"name": "stream_keys", "state": "ok", "detail": ""}
        assert not world.log("stream_key_refused")


@pytest.mark.parametrize("caller", ["delivery", "pair", "sign_up"])
def test_call_that_stream_refuses_leads_to_a_check_immediately(tmp_path, caller):
    """The alert waits neither for the hourly check nor for the loop's next step."""
    settings = {**ENABLED, "TOKENSVC_ACCOUNTS__SIGN_UP": "open"}
    with running_world(tmp_path, KeysWorld, **settings) as world:
        wait_until(lambda: metric(world, ACCEPTED), "the key is checked")
        assert metric(world, ACCEPTED) == [f'{ACCEPTED}{{key="active"}} 1.0']
        (planned,) = loop_due(world)
        world.stream.app.keys[STREAM_API_KEY] = REGENERATED
        if caller == "delivery":
            assert world.suspend("ada").status == 200
        elif caller == "pair":
            assert world.add("k2", OTHER_SECRET).code == "stream_key_invalid"
        else:
            body = {"user_id": "chat-ada", "password": PASSWORD}
            assert world.anonymous.post("/v1/accounts", json=body).status == 503
        wait_until(
            lambda: metric(world, ACCEPTED) == [f'{ACCEPTED}{{key="active"}} 0.0'],
            "the refusal is in the metrics",
        )
        assert world.log("stream_key_refused")
        wait_until(lambda: loop_due(world) != [planned], "the step of the check has ended")
        (due,) = loop_due(world)
        assert due < planned + ACTIVE_KEY_INTERVAL, "the check was before the planned step"


def test_accepted_key_is_checked_at_the_start_and_hourly(checked):
    checked.stream.app.keys["k1"] = SECRET
    checked.stream.app.settings["guest_user_creation_disabled"] = True
    with capture_logs() as logs:
        for hour in range(3):
            checked.now = 100.0 + hour * CHECK_SECONDS
            checked.check.step()
            checked.now += CHECK_SECONDS - 1
            checked.check.step()
            assert len(checked.calls()) == hour + 1
    assert logs == []


def test_refused_key_is_checked_at_each_step_and_logged_hourly(checked):
    """Its end is noticed and logged at the next step, so that the alert ends too."""
    checked.stream.app.keys["k1"] = REGENERATED
    with capture_logs() as logs:
        for hour in range(3):
            for minute in (0, 1, 59):
                checked.now = 100.0 + hour * CHECK_SECONDS + minute * 60
                checked.check.step()
    assert len(checked.calls()) == 9
    assert [line["event"] for line in logs] == ["stream_key_refused"] * 3
    assert "code 43" in checked.check.rejection().detail
    assert figure("tokensvc_stream_key_accepted", key="active") == 0
    checked.stream.app.keys["k1"] = SECRET
    checked.stream.app.settings["guest_user_creation_disabled"] = True
    with capture_logs() as logs:
        for _ in range(2):
            checked.now += 60
            checked.check.step()
    assert len(checked.calls()) == 10
    assert [line["event"] for line in logs] == ["stream_key_accepted"]
    assert not checked.check.rejection()
    assert figure("tokensvc_stream_key_accepted", key="active") == 1


def test_other_active_key_is_checked_at_the_next_step(database, checked):
    """From the change on, the result of the previous key does not count."""
    checked.stream.app.keys["k1"] = REGENERATED
    checked.check.step()
    add(database, "k2", "standby", OTHER_SECRET, now=2)
    change(database, "k1", state="retiring")
    change(database, "k2", state="active")
    checked.stream.app.keys["k2"] = OTHER_SECRET
    current(checked.keys)
    assert not checked.check.rejection()
    checked.check.step()
    assert checked.calls() == ["k1", "k2"]
    assert not checked.check.rejection()


def test_unreachable_stream_is_called_again_at_the_next_step(checked):
    """The previous result counts until then."""
    checked.stream.app.keys["k1"] = REGENERATED
    checked.check.step()
    checked.stream.faults.refuse("GET /app", times=2)
    for _ in range(2):
        checked.check.step()
        assert "code 43" in checked.check.rejection().detail
    checked.stream.app.keys["k1"] = SECRET
    checked.check.step()
    assert not checked.check.rejection()


def test_refusals_in_other_calls_lead_to_one_check(checked):
    """Any number of callers may learn it, also while Stream cannot be reached."""
    checked.stream.app.keys["k1"] = SECRET
    checked.check.step()
    checked.stream.app.keys["k1"] = REGENERATED
    checked.stream.faults.refuse("GET /app", times=1)
    with capture_logs() as logs:
        for is_woken in (True, False, False):
            checked.check.key_refused()
            assert checked.check.wake_up.is_set() == is_woken
            checked.check.wake_up.clear()
            checked.check.step()
    assert [line["event"] for line in logs] == ["stream_key_refused"]
    assert "code 43" in checked.check.rejection().detail


def test_ring_without_an_active_key_is_not_checked(database, checked):
    change(database, "k1", state="standby")
    checked.check.step()
    assert checked.calls() == []


def test_key_is_not_checked_while_delivery_is_off(tmp_path):
    with (
        StreamDouble({}) as stream,
        running_world(tmp_path, stream=stream, TOKENSVC_STREAM__DELIVERY="off") as world,
    ):
        assert world.check("stream_keys")["state"] == "ok"
        assert stream.calls.all() == []
