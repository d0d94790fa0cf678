"""Delivery by the running service, and by a process of its own."""

import signal

import pytest

from testing.command_line import run_process
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.waiting import wait_until
from testing.world import CUT_OFF, WAIT, World, running_world
from tokensvc.stream.api import rfc3339
from tokensvc.stream.delivery import store

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path):
    with running_world(tmp_path, TOKENSVC_WORKERS="2") as running:
        yield running


def lease(world: World, user_id: str):
    with world.database.write() as tx:
        (row,) = store.lock(tx, "user", [user_id])
    return row.lease_until


def test_revocation_is_applied_while_its_client_waits(world):
    """Each worker has a sender; the response to `Prefer: wait` says `applied`."""
    world.stream.app.users["ada"] = {"id": "ada"}
    state = world.revoke("ada", headers=WAIT).json
    wait_until(lambda: world.readiness()[1]["status"] == "ok", "issuers were fetched")
    for _ in range(4):
        assert state["stream"]["state"] == "applied"
        assert world.stream.app.users["ada"][CUT_OFF] == rfc3339(state["tokens_valid_after"])
        revocation = state["revocation"]["id"]
        state = world.undo("ada", revocation, headers=WAIT).json
        assert state["stream"]["state"] == "applied"
        assert world.stream.app.users["ada"][CUT_OFF] is None
        state = world.revoke("ada", headers=WAIT).json


def test_stop_waits_for_the_current_call(world):
    """The result is stored, and nothing is sent twice."""
    world.stream.app.users["ada"] = {"id": "ada"}
    hanging = world.stream.faults.hang("PATCH /users")
    world.revoke("ada")
    world.stream.calls.wait_for("PATCH", "/users")
    assert lease(world, "ada") is not None
    world.service.process.send_signal(signal.SIGTERM)
    hanging.release()
    assert world.service.stop() == 0
    with world.database.write() as tx:
        (row,) = store.lock(tx, "user", ["ada"])
    # Not its state: the confirmation may set a later cut-off before or during the call.
    assert row.applied_version > 0
    assert row.lease_until is None
    assert len(world.stream.calls.to("PATCH", "/users")) == 1


def test_stop_stores_a_hanging_call_as_lost(world):
    """The row is not left to an expiring lease."""
    world.stream.app.users["ada"] = {"id": "ada"}
    world.stream.faults.hang("PATCH /users")
    world.revoke("ada")
    world.stream.calls.wait_for("PATCH", "/users")
    assert world.service.stop() == 0
    with world.database.write() as tx:
        (row,) = store.lock(tx, "user", ["ada"])
    assert (row.state, row.lease_until) == ("pending", None)
    assert row.resend_at is not None


def test_reloaded_workers_deliver(world):
    """After HUP the new workers' senders run."""
    world.service.reload()
    state = world.revoke("ada", headers=WAIT).json
    assert state["stream"]["state"] == "absent"


def test_refused_key_degrades_readiness_and_is_named(world):
    """In `readyz` (still 200), `doctor`, `delivery list` and the log."""
    world.stream.app.keys[STREAM_API_KEY] = "the-secret-was-changed-in-the-dashboard"
    state = world.revoke("ada", headers=WAIT).json
    assert state["stream"]["state"] == "failed"
    assert "code 43" in state["stream"]["last_error"]
    assert "code 43" in world.wait_for_check("delivery", "degraded")["detail"]
    status, verdict = world.readiness()
    assert status == 200
    assert "code 43" in world.command("delivery", "list").out
    doctor = world.command("doctor")
    assert "warn  delivery" in doctor.out
    (line, *_) = world.log("stream_key_refused")
    assert line["api_key"] == STREAM_API_KEY
    (line, *_) = world.log("delivery_failed")
    assert line["subjects"] == ["ada"]
    shown = world.service.log_path.read_text() + doctor.out + doctor.err + str(verdict)
    assert STREAM_API_SECRET not in shown
    assert world.stream.calls.all()[0].headers["authorization"] not in shown


def test_separate_worker_delivers(tmp_path):
    """With `worker.embedded` off only `tokensvc worker` delivers, until it is stopped."""
    with running_world(tmp_path, TOKENSVC_WORKER__EMBEDDED="false") as world:
        world.stream.app.users["ada"] = {"id": "ada"}
        assert (
            world.revoke("ada", headers={"Prefer": "wait=1"}).json["stream"]["state"] == "pending"
        )
        assert world.stream.calls.to("PATCH", "/users") == []
        hanging = world.stream.faults.hang("PATCH /users")
        with world.worker() as process:
            world.stream.calls.wait_for("PATCH", "/users")
            process.send_signal(signal.SIGTERM)
            hanging.release()
            assert process.wait(timeout=30) == 0
        assert world.state("ada")["stream"]["state"] == "applied"
        log = (tmp_path / "worker.log").read_text()
        assert log.index("worker_started") < log.index("worker_stopped")


def test_delivery_that_is_off_is_shown(tmp_path):
    """States are `not_sent`, `readyz` and `doctor` show it, and a worker does not start."""
    with running_world(tmp_path, TOKENSVC_STREAM__DELIVERY="off") as world:
        assert world.revoke("ada", headers={"Prefer": "wait=1"}).json["stream"] == {
            "state": "not_sent",
            "updated_at": None,
            "last_error": None,
        }
        assert world.readiness()[0] == 200
        assert "stream.delivery" in world.check("delivery")["detail"]
        assert "stream.delivery" in world.command("doctor").out
        worker = run_process(world.folder, world.environ, "worker")
        assert worker.code == 1
        assert "`stream.delivery` is off" in worker.err
        assert world.stream.calls.to("PATCH", "/users") == []
        # Nothing is lost: it is sent when delivery is on.
        world.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
        with world.worker():
            world.stream.calls.wait_for("PATCH", "/users")


@pytest.mark.sec(59)
def test_profile_is_stored_audited_and_delivered(world):
    """A repetition leaves no audit event."""
    user = {"id": "ada", "name": "Ada", "role": "moderator"}
    response = world.operator.request("PUT", "/v1/users/ada/profile", json=user)
    assert response.status == 200
    assert response.json["profile"] == user
    world.stream.calls.wait_for("POST", "/users")
    world.stream.calls.wait_until_done()
    assert world.stream.app.users["ada"]["role"] == "moderator"
    world.operator.request("PUT", "/v1/users/ada/profile", json=user)
    events = world.operator.get("/v1/audit", query={"action": "profile:set"}).json["items"]
    assert [(event["subject"], event["actor"]) for event in events] == [("ada", "svc.operator")]


@pytest.mark.parametrize(
    ("path", "user", "status", "code"),
    [
        ("/v1/users/ada/profile", {"name": "Ada"}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "bob"}, 403, "user_id_mismatch"),
        ("/v1/users/ada/profile", {"id": "ada", CUT_OFF: None}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "ada", CUT_OFF.upper(): None}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "ada", "ID": "bob"}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "ada", "Role": "admin"}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "ada", "teams_role.red": "admin"}, 422, "user_invalid"),
        ("/v1/users/ada/profile", ["ada"], 400, "malformed_request"),
        ("/v1/users/ada/profile?x=1", {"id": "ada"}, 400, "malformed_request"),
        ("/v1/users/a.b/profile", {"id": "a.b"}, 422, "user_id_invalid"),
    ],
)
@pytest.mark.sec(70)
def test_invalid_profile_is_refused(shared, path, user, status, code):
    response = shared.operator.request("PUT", path, json=user, valid=False)
    assert (response.status, response.code) == (status, code)


def test_profile_needs_its_scope(shared):
    reader = shared.client_with("reader", "users:read", "revocations:write")
    user = {"id": "ada"}
    response = reader.request("PUT", "/v1/users/ada/profile", json=user)
    assert (response.status, response.code) == (403, "insufficient_scope")
    response = shared.anonymous.request("PUT", "/v1/users/ada/profile", json=user, valid=False)
    assert (response.status, response.code) == (401, "credentials_missing")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"role": "admin"}, "role"),
        ({"teams": ["red"], "channel_roles": {}}, "channel_roles, teams"),
        ({"teams_role": {"red": "admin"}}, "teams_role"),
    ],
)
def test_role_in_a_profile_needs_the_scope_for_roles(shared, members, named):
    """The log has the reason, and no profile."""
    number = len(shared.service.log_lines())
    writer = shared.client_with(f"writer-{number}", "users:write")
    user = {"id": "eve", "name": "not-in-the-log", **members}
    response = writer.request("PUT", "/v1/users/eve/profile", json=user)
    assert (response.status, response.code) == (403, "insufficient_scope")
    assert f"`{named}`".replace(", ", "`, `") in response.json["detail"]
    assert "users:roles" in response.json["detail"]
    lines = shared.service.log_lines()[number:]
    (line,) = [one for one in lines if one.get("request_id") == response.headers["X-Request-Id"]]
    assert line["reason"] == f"scope users:roles is missing for {named}"
    assert "not-in-the-log" not in str(line)
    assert writer.request("PUT", "/v1/users/eve/profile", json={"id": "eve"}).status == 200


def test_scope_for_roles_alone_sets_no_profile(shared):
    promoter = shared.client_with("promoter", "users:roles")
    user = {"id": "ada", "role": "admin"}
    response = promoter.request("PUT", "/v1/users/ada/profile", json=user)
    assert (response.status, response.code) == (403, "insufficient_scope")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Yield a service for tests that do not change it."""
    with running_world(tmp_path_factory.mktemp("shared")) as running:
        yield running
