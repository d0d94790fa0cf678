"""The Stream double fails as planned: only the next calls of a route, only in the planned way."""

import json
import random
import threading

import pytest
import urllib3
from stream_chat import StreamChat
from stream_chat.base.exceptions import StreamAPIException
from websockets.exceptions import InvalidMessage

from testing.doubles.faults import FaultKind, RandomFaults
from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, KEY, SECRET, call, dial, sign
from testing.response import Response


def test_planned_error_applies_nothing(stream: StreamDouble, server: StreamChat) -> None:
    """It affects only the next calls of its route, optionally with `Retry-After`."""
    stream.fail_with(9, "POST /users", times=2, retry_after=7)
    assert call(stream, sign(GOOD)).status == 200
    assert upsert(stream, "john").headers["Retry-After"] == "7"
    with pytest.raises(StreamAPIException) as refused:
        server.upsert_user({"id": "john"})
    assert (refused.value.status_code, refused.value.error_code) == (429, 9)
    assert "john" not in stream.app.users
    server.upsert_user({"id": "john"})
    assert "john" in stream.app.users


def test_random_faults_are_of_every_kind() -> None:
    """Waiting calls are released and applied."""
    faults = RandomFaults(random.Random(1), share=0.5, longest=0.05)
    with StreamDouble({KEY: SECRET}, faults=faults) as stream:
        stream.limits.lift()
        succeeded = 0
        for number in range(60):
            try:
                upsert(stream, f"user-{number}")
                succeeded += 1
            except urllib3.exceptions.HTTPError:
                pass
        stream.calls.wait_until_done()
        refused = faults.met[FaultKind.REFUSE]
        assert set(faults.met) == set(RandomFaults.KINDS)
        assert 60 - succeeded == faults.met.total() - faults.met[FaultKind.HANG]
        assert len(stream.app.users) == 60 - refused


def test_planned_faults_affect_websockets(stream: StreamDouble) -> None:
    """A planned error is in the first frame. A planned refusal closes the connection."""
    stream.fail_with(40, "GET /connect")
    stream.faults.refuse("GET /connect")
    with dial(stream, sign(GOOD)) as websocket:
        assert json.loads(websocket.recv(timeout=30))["error"]["code"] == 40
    with pytest.raises(InvalidMessage):
        dial(stream, sign(GOOD))


def test_call_with_a_cut_response_is_applied(stream: StreamDouble) -> None:
    stream.faults.cut("POST /users")
    with pytest.raises(urllib3.exceptions.HTTPError):
        upsert(stream, "john")
    assert "john" in stream.app.users


def test_late_call_is_applied_on_release(stream: StreamDouble) -> None:
    """The connection closes immediately."""
    late = stream.faults.late("POST /users")
    with pytest.raises(urllib3.exceptions.HTTPError):
        upsert(stream, "john")
    assert "john" not in stream.app.users
    late.release()
    stream.calls.wait_until_done()
    assert "john" in stream.app.users


def test_hanging_call_is_applied_on_release(stream: StreamDouble) -> None:
    hanging = stream.faults.hang("POST /users")
    caller = threading.Thread(target=upsert, args=(stream, "john"))
    caller.start()
    stream.calls.wait_for("POST", "/users")
    assert "john" not in stream.app.users
    hanging.release()
    caller.join(timeout=30)
    assert "john" in stream.app.users


def test_planned_response_is_sent_unchanged(stream: StreamDouble) -> None:
    stream.faults.respond(Response(502, b"<html>bad gateway</html>"), times=None)
    for _ in range(3):
        assert call(stream, sign(GOOD)).data == b"<html>bad gateway</html>"
    stream.faults.clear()
    assert call(stream, sign(GOOD)).status == 200


def upsert(stream: StreamDouble, user_id: str) -> urllib3.BaseHTTPResponse:
    body = {"users": {user_id: {"id": user_id}}}
    return call(stream, sign({"server": True}), method="POST", body=body)
