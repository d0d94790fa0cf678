"""The loop in the running service, and in a process of its own."""

import signal
import time

import pytest

from testing.command_line import run_process
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from testing.service_clients import basic, make_client
from tests.delivery.live import CUT_OFF, World, running_world
from tokensvc.delivery import store
from tokensvc.stream.api import rfc3339

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path):
    with running_world(tmp_path, TOKENSVC_WORKERS="2") as running:
        yield running


def lease(world: World, user_id: str):
    with world.database.write() as tx:
        (row,) = store.lock(tx, "user", [user_id])
    return row.lease_until


def test_an_act_reaches_stream_while_its_client_waits(world):
    """Each worker has a sender: with `Prefer: wait` an act is answered as applied."""
    world.stream.app.users["ada"] = {"id": "ada"}
    state = world.revoke("ada", Prefer="wait=10")
    assert world.readiness()[1]["status"] == "ok"
    for _ in range(4):
        assert state["stream"]["state"] == "applied"
        assert world.stream.app.users["ada"][CUT_OFF] == rfc3339(state["tokens_valid_after"])
        act = state["revocation"]["id"]
        state = world.call("DELETE", f"/v1/users/ada/revocations/{act}", Prefer="wait=10")
        assert state["stream"]["state"] == "applied"
        assert world.stream.app.users["ada"][CUT_OFF] is None
        state = world.revoke("ada", Prefer="wait=10")


def test_a_stop_lets_the_call_end(world):
    """A deployment in the middle of a call: it ends, is written down, and nothing goes twice."""
    world.stream.app.users["ada"] = {"id": "ada"}
    hanging = world.stream.faults.hang("PATCH /users")
    world.revoke("ada")
    world.stream.calls.wait_for("PATCH", "/users")
    assert lease(world, "ada") is not None
    world.service.process.send_signal(signal.SIGTERM)
    hanging.release()
    assert world.service.stop() == 0
    assert lease(world, "ada") is None
    with world.database.read() as connection:
        assert store.status(connection, "user", "ada").state == "applied"
    assert len(world.stream.calls.to("PATCH", "/users")) == 1


def test_a_stop_waits_for_a_call_that_hangs(world):
    """It is given up in its time and written down as lost, not left to a lease that runs out."""
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
    """After HUP the new workers' senders are at work."""
    former = set(world.service.worker_pids())
    world.service.process.send_signal(signal.SIGHUP)
    while former & set(world.service.worker_pids()):
        time.sleep(0.05)
    state = world.revoke("ada", Prefer="wait=10")
    assert state["stream"]["state"] == "absent"


def test_refused_keys_degrade_and_are_named(world):
    """Stream's 401 is in `readyz` with 200, in `doctor`, in the list and in the log."""
    world.stream.app.keys[STREAM_API_KEY] = "the-secret-was-changed-in-the-dashboard"
    state = world.revoke("ada", Prefer="wait=10")
    assert state["stream"]["state"] == "failed"
    assert "code 43" in state["stream"]["last_error"]
    status, verdict = world.readiness()
    assert (status, verdict["status"]) == (200, "degraded")
    assert "code 43" in world.check("delivery")["detail"]
    assert "code 43" in world.command("delivery", "list").out
    doctor = world.command("doctor")
    assert "warn  delivery" in doctor.out
    (line, *_) = world.log("stream_refuses_key")
    assert line["api_key"] == STREAM_API_KEY
    (line, *_) = world.log("delivery_failed")
    assert line["subjects"] == ["ada"]
    shown = world.service.log_path.read_text() + doctor.out + doctor.err + str(verdict)
    assert STREAM_API_SECRET not in shown
    assert world.stream.calls.all()[0].headers["authorization"] not in shown


def test_a_worker_of_its_own(tmp_path):
    """With `worker.embedded` off the service is silent; `tokensvc worker` tells, until stopped."""
    with running_world(tmp_path, TOKENSVC_WORKER__EMBEDDED="false") as world:
        world.stream.app.users["ada"] = {"id": "ada"}
        assert world.revoke("ada", Prefer="wait=1")["stream"]["state"] == "pending"
        assert world.stream.calls.all() == []
        hanging = world.stream.faults.hang("PATCH /users")
        with world.worker() as process:
            world.stream.calls.wait_for("PATCH", "/users")
            process.send_signal(signal.SIGTERM)
            hanging.release()
            assert process.wait(timeout=30) == 0
        assert world.call("GET", "/v1/users/ada")["stream"]["state"] == "applied"
        log = (tmp_path / "worker.log").read_text()
        assert log.index("worker_started") < log.index("worker_stopped")


def test_a_service_that_does_not_tell_stream_says_so(tmp_path):
    """States are `not_sent`, `readyz` and `doctor` show it, and a worker has nothing to do."""
    with running_world(tmp_path, TOKENSVC_STREAM__DELIVERY="off") as world:
        assert world.revoke("ada", Prefer="wait=1")["stream"] == {
            "state": "not_sent",
            "updated_at": None,
            "last_error": None,
        }
        assert world.readiness()[0] == 200
        assert "stream.delivery" in world.check("delivery")["detail"]
        assert "stream.delivery" in world.command("doctor").out
        worker = run_process(world.folder, world.environ, "worker")
        assert worker.code == 1
        assert "stream.delivery is off" in worker.err
        assert world.stream.calls.to("PATCH", "/users") == []
        # What was not sent is not forgotten.
        world.settings["TOKENSVC_STREAM__DELIVERY"] = "on"
        with world.worker():
            world.stream.calls.wait_for("PATCH", "/users")


def test_a_profile_is_put_and_brought_over(world):
    """Stored, audited under its client, and made at Stream; the same again is no act."""
    user = {"id": "ada", "name": "Ada", "role": "moderator"}
    answer = world.client.request("PUT", "/v1/users/ada/profile", json=user)
    assert answer.status == 200
    assert answer.json["profile"] == user
    world.stream.calls.wait_for("POST", "/users")
    world.stream.calls.wait_until_done()
    assert world.stream.app.users["ada"]["role"] == "moderator"
    world.client.request("PUT", "/v1/users/ada/profile", json=user)
    events = world.call("GET", "/v1/audit?action=profile:set")["items"]
    assert [(event["subject"], event["actor"]) for event in events] == [("ada", "svc.backend")]


@pytest.mark.parametrize(
    ("path", "user", "status", "code"),
    [
        ("/v1/users/ada/profile", {"name": "Ada"}, 422, "user_invalid"),
        ("/v1/users/ada/profile", {"id": "bob"}, 403, "user_id_mismatch"),
        ("/v1/users/ada/profile", {"id": "ada", CUT_OFF: None}, 422, "user_invalid"),
        ("/v1/users/ada/profile", ["ada"], 400, "malformed_request"),
        ("/v1/users/ada/profile?x=1", {"id": "ada"}, 400, "malformed_request"),
        ("/v1/users/a.b/profile", {"id": "a.b"}, 422, "user_id_invalid"),
    ],
)
def test_bad_profiles_are_refused(shared, path, user, status, code):
    """Each with the code that says what to change."""
    answer = shared.client.request("PUT", path, json=user, valid=False)
    assert (answer.status, answer.code) == (status, code)


def test_profiles_need_their_scope(shared):
    """A client without `users:write`, and nobody at all, set no profile."""
    reader = make_client(shared.database, "reader", "users:read", "revocations:write")
    user = {"id": "ada"}
    answer = shared.client.request("PUT", "/v1/users/ada/profile", json=user, headers=basic(reader))
    assert (answer.status, answer.code) == (403, "insufficient_scope")
    shared.credentials, kept = {}, shared.credentials
    answer = shared.client.request("PUT", "/v1/users/ada/profile", json=user, valid=False)
    shared.credentials = kept
    assert (answer.status, answer.code) == (401, "credentials_missing")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Give a service for tests that leave nothing behind."""
    with running_world(tmp_path_factory.mktemp("shared")) as running:
        yield running
