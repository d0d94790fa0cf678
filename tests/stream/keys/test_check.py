"""`check`: Stream accepts a key as one of the same app before it is stored."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec import UNSET

from testing.response import Response
from tests.stream.keys.ring import (
    OTHER_SECRET,
    SECRET,
    add,
    another_process,
    change,
    changes,
    current,
    events,
    rotation_of,
    rows,
)
from tokensvc.core import deadline
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.stream.app import StreamApp
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import KeyCheck

CONTEXT = ActionContext("svc.ops")
REGENERATED = "a-secret-that-the-dashboard-regenerated-45"
ELSEWHERE = {"app": {"id": 1, "name": "staging", "organization": "tests"}}


@pytest.fixture(autouse=True)
def first_key(database):
    add(database, "k1", "active")


def put(verifying_rotation, api_key="k2", secret=OTHER_SECRET, **context):
    return verifying_rotation.add(
        api_key, secret.encode(), ActionContext("svc.ops", **context), check=True
    )


def refusal(verifying_rotation, *pair):
    with pytest.raises(Refusal) as refused:
        put(verifying_rotation, *pair)
    return refused.value


def test_valid_pair_of_the_same_app_is_stored(verifying_rotation, stream):
    """Stream is asked about the new key and the active one."""
    stream.app.keys["k2"] = OTHER_SECRET
    assert put(verifying_rotation).state is KeyState.STANDBY
    assert [call.query["api_key"] for call in stream.calls.to("GET", "/app")] == ["k2", "k1"]


def test_slow_check_leaves_the_time_for_the_database(database, clock):
    """Stream's responses may take longer than the rest of the request."""
    app = StreamApp(id=1, organization="tests", name="app")

    def check_slowly(_key):
        time.sleep(0.2)
        return KeyCheck(accepted=True, detail="", clock_ahead=None, app=app)

    deadline.begin(time.monotonic(), seconds=0.3)
    try:
        added = put(rotation_of(database, clock, check=check_slowly))
    finally:
        deadline.end()
    assert added.state is KeyState.STANDBY


def test_dry_run_verifies_the_pair(verifying_rotation, stream, database):
    stream.app.keys["k2"] = OTHER_SECRET
    assert put(verifying_rotation, dry_run=True).state is KeyState.STANDBY
    assert len(rows(database)) == 1
    del stream.app.keys["k2"]
    with pytest.raises(Refusal):
        put(verifying_rotation, dry_run=True)


@pytest.mark.parametrize("known", [{}, {"k2": "another-secret-that-stream-knows-for-it"}])
def test_pair_that_stream_refuses_is_not_stored(verifying_rotation, stream, database, known):
    stream.app.keys.update(known)
    refused = refusal(verifying_rotation)
    assert refused.code is Code.STREAM_KEY_INVALID
    assert "Stream rejects" in refused.detail
    assert OTHER_SECRET not in refused.detail
    assert (len(rows(database)), changes(database), events(database)) == (1, 1, [])


def test_pair_of_another_app_is_not_stored(verifying_rotation, stream, database):
    stream.app.keys["k2"] = OTHER_SECRET
    stream.faults.respond(Response(200, ELSEWHERE), "GET /app")
    refused = refusal(verifying_rotation)
    assert refused.code is Code.STREAM_KEY_INVALID
    assert "another Stream app" in refused.detail
    assert len(rows(database)) == 1


def test_regenerated_secret_needs_no_comparison(verifying_rotation, stream):
    """Stream refuses the old secret by then, and an API key belongs to one app permanently."""
    stream.app.keys["k1"] = OTHER_SECRET
    assert put(verifying_rotation, "k1").state is KeyState.STANDBY
    assert len(stream.calls.to("GET", "/app")) == 1


def test_other_key_is_compared_if_stream_refuses_the_active_one(
    verifying_rotation, stream, database
):
    add(database, "k0", "retiring", "a-key-that-stream-still-knows-12345", now=2)
    stream.app.keys = {"k0": "a-key-that-stream-still-knows-12345", "k2": OTHER_SECRET}
    assert put(verifying_rotation).state is KeyState.STANDBY
    asked = [call.query["api_key"] for call in stream.calls.to("GET", "/app")]
    assert asked == ["k2", "k1", "k0"]


def test_pair_is_refused_if_no_key_can_be_compared(verifying_rotation, stream, database):
    stream.app.keys = {"k2": OTHER_SECRET}
    refused = refusal(verifying_rotation)
    assert refused.code is Code.STREAM_KEY_INVALID
    assert "Cannot compare the Stream apps" in refused.detail
    assert "--no-check" in refused.detail
    assert len(rows(database)) == 1


def test_unreadable_key_is_not_compared(verifying_rotation, stream, database):
    stream.app.keys |= {"k2": OTHER_SECRET, "k3": OTHER_SECRET}
    assert put(verifying_rotation).state is KeyState.STANDBY
    change(database, "k1", secret_ciphertext="damaged")
    assert put(verifying_rotation, "k3").state is KeyState.STANDBY
    change(database, "k2", secret_ciphertext="damaged")
    change(database, "k3", secret_ciphertext="damaged")
    stream.app.keys["k4"] = OTHER_SECRET
    assert "Cannot compare" in refusal(verifying_rotation, "k4").detail


def test_restored_secret_is_verified(verifying_rotation, stream, database):
    change(database, "k1", secret_ciphertext="damaged")
    before = changes(database)
    stream.app.keys["k1"] = OTHER_SECRET
    with pytest.raises(Refusal) as refused:
        verifying_rotation.restore("k1", SECRET.encode(), CONTEXT, check=True)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert changes(database) == before
    stream.app.keys["k1"] = SECRET
    assert (
        verifying_rotation.restore("k1", SECRET.encode(), CONTEXT, check=True).state
        is KeyState.ACTIVE
    )
    assert changes(database) == before + 1
    assert verifying_rotation.restore("k1", SECRET.encode(), CONTEXT, check=True) is None
    assert verifying_rotation.restore("k1", OTHER_SECRET.encode(), CONTEXT, check=True) is None
    assert current(another_process(database)).active.secret == SECRET.encode()


def test_other_403_than_that_of_a_wrong_key_does_not_say_that_the_pair_is_wrong(
    verifying_rotation, stream, database
):
    """Code 17: the key is accepted, the call is not allowed. Code 99: the app is suspended."""
    stream.app.keys["k2"] = OTHER_SECRET
    for code in (17, 99):
        stream.fail_with(code, "GET /app")
        refused = refusal(verifying_rotation)
        assert refused.code is Code.TEMPORARILY_UNAVAILABLE
        assert f"code {code}" in refused.reason
    assert len(rows(database)) == 1


def test_activated_key_is_compared_with_the_active_one(verifying_rotation, stream, database):
    """It may have been added without a check. With the same API key it needs no comparison."""
    key_id = add(database, "k2", "standby", OTHER_SECRET, now=2)
    stream.app.keys["k2"] = OTHER_SECRET
    stream.faults.respond(Response(200, ELSEWHERE), "GET /app")
    with pytest.raises(Refusal) as refused:
        verifying_rotation.activate(key_id, CONTEXT, check=True)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert "another Stream app" in refused.value.detail
    assert (changes(database), events(database)) == (2, [])
    activated = verifying_rotation.activate(key_id, CONTEXT, check=True)
    assert (activated.state, activated.warning) == (KeyState.ACTIVE, UNSET)
    regenerated = add(database, "k2", "standby", REGENERATED, now=3)
    stream.app.keys["k2"] = REGENERATED
    before = len(stream.calls.to("GET", "/app"))
    assert verifying_rotation.activate(regenerated, CONTEXT, check=True).state is KeyState.ACTIVE
    assert len(stream.calls.to("GET", "/app")) == before + 1


def test_activation_is_refused_if_no_other_key_can_be_compared(
    verifying_rotation, stream, database
):
    """The key itself proves nothing: it may have been added without a check."""
    key_id = add(database, "k2", "standby", OTHER_SECRET, now=2)
    stream.app.keys = {"k2": OTHER_SECRET}
    with pytest.raises(Refusal) as refused:
        verifying_rotation.activate(key_id, CONTEXT, check=True)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert "Cannot compare" in refused.value.detail


def test_repeated_activation_does_not_call_stream(verifying_rotation, stream, database):
    key_id = add(database, "k9", "standby", OTHER_SECRET, now=2)
    verifying_rotation.activate(key_id, CONTEXT, check=False)
    assert verifying_rotation.activate(key_id, CONTEXT, check=True).warning is UNSET
    assert stream.calls.all() == []


@pytest.mark.parametrize("fault", ["refuse", "hang", "cut"])
def test_pair_is_not_stored_if_stream_is_unavailable(
    verifying_rotation, stream, database, fault, monkeypatch
):
    monkeypatch.setattr("tokensvc.stream.wire.DEADLINE", 0.2)
    stream.app.keys["k2"] = OTHER_SECRET
    getattr(stream.faults, fault)("GET /app")
    refused = refusal(verifying_rotation)
    assert refused.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.retry_after
    assert len(rows(database)) == 1


@pytest.mark.sec(25)
def test_invalid_pair_is_not_sent_to_stream(verifying_rotation, stream):
    assert refusal(verifying_rotation, "k1", SECRET).code is Code.STREAM_KEY_INVALID
    assert stream.calls.all() == []


def test_request_without_a_wait_slot_gets_503(verifying_rotation, stream):
    """The slot is free again after the waiting request."""
    stream.app.keys |= {"k2": OTHER_SECRET, "k3": OTHER_SECRET}
    hanging = stream.faults.hang("GET /app")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, verifying_rotation)
        stream.calls.wait_for("GET", "/app")
        refused = refusal(verifying_rotation, "k3")
        hanging.release()
        assert waiting.result().state is KeyState.STANDBY
    assert refused.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.retry_after
    asked = [call.query["api_key"] for call in stream.calls.to("GET", "/app")]
    assert asked == ["k2", "k1"]
    assert put(verifying_rotation, "k3").state is KeyState.STANDBY


def test_failed_verification_frees_its_wait_slot(verifying_rotation, stream):
    stream.app.keys["k2"] = OTHER_SECRET
    stream.faults.refuse("GET /app", times=3)
    for _ in range(3):
        refused = refusal(verifying_rotation)
        assert "Stream neither accepts nor rejects" in refused.detail
    assert put(verifying_rotation).state is KeyState.STANDBY
