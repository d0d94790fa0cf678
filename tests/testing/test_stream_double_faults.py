"""The Stream double fails as ordered: the next calls of a route, in that way and no other."""

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


def test_errors_come_on_order_and_apply_nothing(stream: StreamDouble, server: StreamChat) -> None:
    """A code is answered for the next calls of the route alone, with `Retry-After` if wanted."""
    stream.fail_with(9, "POST /users", times=2, retry_after=7)
    assert call(stream, sign(GOOD)).status == 200
    assert upsert(stream, "john").headers["Retry-After"] == "7"
    with pytest.raises(StreamAPIException) as refused:
        server.upsert_user({"id": "john"})
    assert (refused.value.status_code, refused.value.error_code) == (429, 9)
    assert "john" not in stream.app.users
    server.upsert_user({"id": "john"})
    assert "john" in stream.app.users


def test_failures_by_chance_are_of_every_kind() -> None:
    """The share that is wanted, in four ways; what is held is released, and the call applied."""
    faults = RandomFaults(random.Random(1), share=0.5, longest=0.05)
    with StreamDouble({KEY: SECRET}, faults=faults) as stream:
        answered = 0
        for number in range(60):
            try:
                upsert(stream, f"user-{number}")
                answered += 1
            except urllib3.exceptions.HTTPError:
                pass
        stream.calls.wait_until_done()
        refused = faults.met[FaultKind.REFUSE]
        assert set(faults.met) == set(RandomFaults.KINDS)
        assert 60 - answered == faults.met.total() - faults.met[FaultKind.HANG]
        assert len(stream.app.users) == 60 - refused


def test_a_refused_websocket_never_opens(stream: StreamDouble) -> None:
    """Ordered errors reach a WebSocket in its first frame, ordered refusals as a dead network."""
    stream.fail_with(40, "GET /connect")
    stream.faults.refuse("GET /connect")
    with dial(stream, sign(GOOD)) as websocket:
        assert json.loads(websocket.recv(timeout=30))["error"]["code"] == 40
    with pytest.raises(InvalidMessage):
        dial(stream, sign(GOOD))


def test_a_cut_answer_was_applied(stream: StreamDouble) -> None:
    """The caller cannot know, and the state has changed."""
    stream.faults.cut("POST /users")
    with pytest.raises(urllib3.exceptions.HTTPError):
        upsert(stream, "john")
    assert "john" in stream.app.users


def test_a_late_call_is_applied_when_released(stream: StreamDouble) -> None:
    """The caller's connection ends at once; the effect comes when the test says so."""
    late = stream.faults.late("POST /users")
    with pytest.raises(urllib3.exceptions.HTTPError):
        upsert(stream, "john")
    assert "john" not in stream.app.users
    late.release()
    stream.calls.wait_until_done()
    assert "john" in stream.app.users


def test_a_hanging_call_is_answered_when_released(stream: StreamDouble) -> None:
    """Nothing is applied or answered before; then it is as if it had just arrived."""
    hanging = stream.faults.hang("POST /users")
    caller = threading.Thread(target=upsert, args=(stream, "john"))
    caller.start()
    stream.calls.wait_for("POST", "/users")
    assert "john" not in stream.app.users
    hanging.release()
    caller.join(timeout=30)
    assert "john" in stream.app.users


def test_an_answer_on_order_is_sent_as_it_is(stream: StreamDouble) -> None:
    """Whatever a broken proxy in between could say."""
    stream.faults.respond(Response(502, b"<html>bad gateway</html>"), times=None)
    for _ in range(3):
        assert call(stream, sign(GOOD)).data == b"<html>bad gateway</html>"
    stream.faults.clear()
    assert call(stream, sign(GOOD)).status == 200


def upsert(stream: StreamDouble, user_id: str) -> urllib3.BaseHTTPResponse:
    body = {"users": {user_id: {"id": user_id}}}
    return call(stream, sign({"server": True}), method="POST", body=body)
