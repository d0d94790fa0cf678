"""The settings of the Stream app: operators see what they are, and minting goes on."""

import pytest
from structlog.testing import capture_logs

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_app import QUEUE_SECRETS
from testing.doubles.stream_calls import connects
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.waiting import wait_until
from testing.world import METRICS_TOKEN, running_world
from tests.ops.services import figure
from tests.stream.keys.ring import SECRET
from tests.stream.keys.test_routes import KeysWorld
from tokensvc.core.findings import State
from tokensvc.standing.tables import app_standing
from tokensvc.stream.api import rfc3339
from tokensvc.stream.app import FINDING_NAMES, StreamApp

METRIC = "tokensvc_stream_app"
CUT_OFF = "revoke_tokens_issued_before"
FLOOR = 1_800_000_000


def test_stream_that_verifies_no_token_is_shown_and_minting_goes_on(tmp_path):
    """In the log, `/readyz`, the metrics and `doctor`; none has another member of `GET /app`."""
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream:
        stream.app.settings["disable_auth_checks"] = True
        with running_world(tmp_path, KeysWorld, stream) as world:
            wait_until(lambda: world.check("stream_app")["state"] != "ok", "the app is checked")
            status, readiness = world.readiness()
            assert (status, readiness["status"]) == (200, "degraded")
            assert "disable_auth_checks" in world.check("stream_app")["detail"]
            metrics = world.anonymous.get(
                "/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"}
            ).text
            assert f'{METRIC}{{finding="disable_auth_checks"}} 1.0' in metrics
            assert f'{METRIC}{{finding="suspended"}} 0.0' in metrics
            found = {line["finding"]: line["level"] for line in log(world)}
            assert found == {"disable_auth_checks": "error", "guests_allowed": "info"}
            minted = world.mint()
            assert minted.status == 200
            assert connects(stream, {**minted.json, "token": minted.json["token"][:-8] + "x" * 8})
            doctor = world.command("doctor")
            assert doctor.code == 1
            assert "FAIL  Stream app disable_auth_checks: " in doctor.out
            assert "ok    Stream app guests_allowed: " in doctor.out
            everything = world.service.log_path.read_text() + metrics + doctor.out + str(readiness)
            assert not any(secret in everything for secret in QUEUE_SECRETS.values())


def log(world):
    """Return the lines about the app, of one of the workers."""
    return world.log("stream_app_finding_began")


@pytest.fixture
def shown(checked, database):
    """Return a function that checks an app with other settings, and returns what it shows."""
    checked.stream.app.keys["k1"] = SECRET
    with database.write() as tx:
        tx.execute(app_standing.update().values(floor=FLOOR))

    def show(**settings):
        checked.stream.app.settings.update({"guest_user_creation_disabled": True, **settings})
        checked.now += 3600
        checked.check.step()
        return checked.check.app_finding()

    return show


@pytest.mark.parametrize(
    ("settings", "finding", "state", "level"),
    [
        ({"disable_auth_checks": True}, "disable_auth_checks", State.DEGRADED, "error"),
        (
            {"disable_permissions_checks": True},
            "disable_permissions_checks",
            State.OK,
            "warning",
        ),
        ({"suspended": True}, "suspended", State.OK, "warning"),
        ({CUT_OFF: rfc3339(FLOOR + 1)}, CUT_OFF, State.OK, "info"),
        ({"guest_user_creation_disabled": False}, "guests_allowed", State.OK, "info"),
        ({"disable_auth_checks": "no"}, "unknown_settings", State.OK, "warning"),
    ],
)
def test_setting_of_the_app_is_logged_once_and_counted(shown, settings, finding, state, level):
    with capture_logs() as logs:
        assert shown() is None
        assert {figure(METRIC, finding=name) for name in FINDING_NAMES} == {0}
        assert shown(**settings).state is state
        assert shown(**settings).detail
        assert figure(METRIC, finding=finding) == 1
        defaults = StreamApp(guest_user_creation_disabled=True)
        assert shown(**{name: getattr(defaults, name) for name in settings}) is None
    assert [(line["event"], line["finding"], line["log_level"]) for line in logs] == [
        ("stream_app_finding_began", finding, level),
        ("stream_app_finding_ended", finding, "info"),
    ]


@pytest.mark.parametrize(
    "other", [{"suspended": "no"}, {CUT_OFF: "never"}, {"id": "7"}, {"organization": 7}]
)
def test_member_of_another_type_hides_no_other(shown, other):
    assert shown(disable_auth_checks=True, **other).state is State.DEGRADED


def test_own_cut_off_and_an_earlier_one_are_not_shown(shown):
    """Until an undo is delivered, Stream has the cut-off that is undone."""
    assert shown(**{CUT_OFF: rfc3339(FLOOR)}) is None
    assert shown(**{CUT_OFF: rfc3339(FLOOR - 1000)}) is None


def test_stream_that_verifies_no_token_is_checked_at_each_step(checked):
    """So that the alert ends within a minute of the repair."""
    checked.stream.app.keys["k1"] = SECRET
    checked.stream.app.settings["disable_auth_checks"] = True
    for _ in range(3):
        checked.now += 60
        checked.check.step()
    assert len(checked.calls()) == 3
    assert figure(METRIC, finding="disable_auth_checks") == 1
    checked.stream.app.settings["disable_auth_checks"] = False
    for _ in range(3):
        checked.now += 60
        checked.check.step()
    assert len(checked.calls()) == 4
    assert figure(METRIC, finding="disable_auth_checks") == 0
