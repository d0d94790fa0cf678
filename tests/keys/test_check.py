"""`check`: Stream proves a pair, and that it is of the same app, before anything is stored."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from testing.response import Response
from tests.keys.ring import (
    OTHER_SECRET,
    SECRET,
    add,
    another_process,
    change,
    events,
    rows,
    version,
)
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import Code, Refusal
from tokensvc.keys.rules import KeyState

CONTEXT = ActionContext("svc.ops")
ELSEWHERE = {"app": {"id": 1, "name": "staging", "organization": "tests"}}


@pytest.fixture(autouse=True)
def first_key(database):
    add(database, "k1", "active")


def put(proving, api_key="k2", secret=OTHER_SECRET, **context):
    return proving.add(api_key, secret.encode(), ActionContext("svc.ops", **context), check=True)


def refusal(proving, *pair):
    with pytest.raises(Refusal) as refused:
        put(proving, *pair)
    return refused.value


def test_a_good_pair_of_the_same_app_is_stored(proving, stream):
    """Stream is asked for the new pair and for the active one."""
    stream.app.keys["k2"] = OTHER_SECRET
    assert put(proving).state is KeyState.STANDBY
    assert [call.query["api_key"] for call in stream.calls.to("GET", "/app")] == ["k2", "k1"]


def test_a_rehearsal_proves_too(proving, stream, database):
    """Whether Stream would accept a pair can be asked without storing it."""
    stream.app.keys["k2"] = OTHER_SECRET
    assert put(proving, dry_run=True).state is KeyState.STANDBY
    assert len(rows(database)) == 1
    del stream.app.keys["k2"]
    with pytest.raises(Refusal):
        put(proving, dry_run=True)


@pytest.mark.parametrize("known", [{}, {"k2": "another-secret-that-stream-knows-for-it"}])
def test_a_pair_that_stream_refuses_is_not_stored(proving, stream, database, known):
    """Neither an unknown API key nor a wrong secret."""
    stream.app.keys.update(known)
    refused = refusal(proving)
    assert refused.code is Code.STREAM_KEY_INVALID
    assert "Stream refuses" in refused.detail
    assert OTHER_SECRET not in refused.detail
    assert (len(rows(database)), version(database), events(database)) == (1, 1, [])


def test_a_pair_of_another_app_is_not_stored(proving, stream, database):
    """It would be accepted by Stream, and its users would be nobody's that are here."""
    stream.app.keys["k2"] = OTHER_SECRET
    stream.faults.respond(Response(200, ELSEWHERE), "GET /app")
    refused = refusal(proving)
    assert refused.code is Code.STREAM_KEY_INVALID
    assert "another Stream app" in refused.detail
    assert len(rows(database)) == 1


def test_a_regenerated_secret_is_of_the_same_app(proving, stream):
    """Stream refuses the old secret by then, and an API key is of one app for ever."""
    stream.app.keys["k1"] = OTHER_SECRET
    assert put(proving, "k1").state is KeyState.STANDBY
    assert len(stream.calls.to("GET", "/app")) == 1


def test_another_key_vouches_when_the_active_one_is_dead(proving, stream, database):
    """Any key that Stream accepts tells which app this service is of."""
    add(database, "k0", "retiring", "a-key-that-stream-still-knows-12345", now=2)
    stream.app.keys = {"k0": "a-key-that-stream-still-knows-12345", "k2": OTHER_SECRET}
    assert put(proving).state is KeyState.STANDBY
    asked = [call.query["api_key"] for call in stream.calls.to("GET", "/app")]
    assert asked == ["k2", "k1", "k0"]


def test_nothing_to_compare_with_is_no_proof(proving, stream, database):
    """When Stream accepts no key of the ring, the operator must know what they do."""
    stream.app.keys = {"k2": OTHER_SECRET}
    refused = refusal(proving)
    assert refused.code is Code.CONFLICT
    assert "without `check`" in refused.detail
    assert len(rows(database)) == 1


def test_a_key_that_cannot_be_read_is_not_asked_about(proving, stream, database):
    """Another one vouches; where there is none, the operator must know what they do."""
    stream.app.keys |= {"k2": OTHER_SECRET, "k3": OTHER_SECRET}
    assert put(proving).state is KeyState.STANDBY
    change(database, "k1", secret_ciphertext="damaged")
    assert put(proving, "k3").state is KeyState.STANDBY
    change(database, "k2", secret_ciphertext="damaged")
    change(database, "k3", secret_ciphertext="damaged")
    stream.app.keys["k4"] = OTHER_SECRET
    assert refusal(proving, "k4").code is Code.CONFLICT


def test_a_secret_that_is_given_back_is_proved_too(proving, stream, database):
    """If Stream has another one by now, the old one is of no use; nothing is done then."""
    change(database, "k1", secret_ciphertext="damaged")
    before = version(database)
    stream.app.keys["k1"] = OTHER_SECRET
    with pytest.raises(Refusal) as refused:
        proving.restore("k1", SECRET.encode(), CONTEXT, check=True)
    assert refused.value.code is Code.STREAM_KEY_INVALID
    assert version(database) == before
    stream.app.keys["k1"] = SECRET
    assert proving.restore("k1", SECRET.encode(), CONTEXT, check=True).state is KeyState.ACTIVE
    assert version(database) == before + 1
    assert proving.restore("k1", SECRET.encode(), CONTEXT, check=True) is None
    assert proving.restore("k1", OTHER_SECRET.encode(), CONTEXT, check=True) is None
    assert another_process(database).ring_at(before + 1).active.secret == SECRET.encode()


@pytest.mark.parametrize("fault", ["refuse", "hang", "cut"])
def test_without_a_verdict_nothing_is_stored(proving, stream, database, fault, monkeypatch):
    """Stream that is down says neither yes nor no: ask again."""
    monkeypatch.setattr("tokensvc.stream.wire.DEADLINE", 0.2)
    stream.app.keys["k2"] = OTHER_SECRET
    getattr(stream.faults, fault)("GET /app")
    refused = refusal(proving)
    assert refused.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.retry_after
    assert len(rows(database)) == 1


@pytest.mark.sec(25)
def test_a_pair_of_no_use_is_not_shown_to_stream(proving, stream):
    """What is refused here already needs no call."""
    assert refusal(proving, "k1", SECRET).code is Code.STREAM_KEY_INVALID
    assert stream.calls.all() == []


def test_few_wait_for_stream_at_a_time(proving, stream):
    """The threads beyond are left to those who mint: 503 at once, and a place again afterwards."""
    stream.app.keys |= {"k2": OTHER_SECRET, "k3": OTHER_SECRET}
    hanging = stream.faults.hang("GET /app")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(put, proving)
        stream.calls.wait_for("GET", "/app")
        refused = refusal(proving, "k3")
        hanging.release()
        assert waiting.result().state is KeyState.STANDBY
    assert refused.code is Code.TEMPORARILY_UNAVAILABLE
    assert refused.retry_after
    asked = [call.query["api_key"] for call in stream.calls.to("GET", "/app")]
    assert asked == ["k2", "k1"]
    assert put(proving, "k3").state is KeyState.STANDBY


def test_a_proof_that_fails_keeps_no_place(proving, stream):
    """However many fail, the next one is made."""
    stream.app.keys["k2"] = OTHER_SECRET
    stream.faults.refuse("GET /app", times=3)
    for _ in range(3):
        assert "Stream did not say" in refusal(proving).detail
    assert put(proving).state is KeyState.STANDBY
