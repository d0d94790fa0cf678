"""The Stream double answers the SDKs' calls and keeps their sessions as Stream does."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from stream_chat import StreamChat
from stream_chat.base.exceptions import StreamAPIException
from websockets.exceptions import ConnectionClosedError

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, NOW, call, dial, sign


def test_an_upsert_replaces_and_a_patch_keeps(server: StreamChat) -> None:
    """`POST /users` wipes what it does not send, `PATCH /users` does not, nor does it create."""
    server.upsert_user({"id": "john", "name": "John"})
    server.revoke_user_token("john", datetime.fromtimestamp(NOW, UTC))
    patched = server.update_user_partial({"id": "john", "set": {"color": "red"}})["users"]["john"]
    assert (patched["name"], patched["color"]) == ("John", "red")
    replaced = server.upsert_user({"id": "john"})["users"]["john"]
    assert not {"name", "revoke_tokens_issued_before"} & set(replaced)
    with pytest.raises(StreamAPIException) as refused:
        server.update_user_partial({"id": "jane", "set": {"color": "red"}})
    assert (refused.value.status_code, refused.value.error_code) == (404, 16)


def test_a_batch_fails_whole(stream: StreamDouble, server: StreamChat) -> None:
    """One bad user, or one too many, and nobody is changed."""
    server.upsert_users([{"id": f"user-{i}"} for i in range(100)])
    for ids in ([*range(100), 100], [0, "unknown"]):
        with pytest.raises(StreamAPIException):
            server.update_users_partial([{"id": f"user-{i}", "set": {"color": "red"}} for i in ids])
    assert not any("color" in user for user in stream.app.users.values())
    found = server.query_users({"id": {"$in": ["user-1", "nobody", "user-2"]}})["users"]
    assert [user["id"] for user in found] == ["user-1", "user-2"]


def test_a_query_gives_what_it_asks_for(server: StreamChat) -> None:
    """30 users unless it says more; deactivated ones only on demand, deleted ones never."""
    users = [f"user-{i}" for i in range(40)]
    server.upsert_users([{"id": user_id} for user_id in users])
    wanted = {"id": {"$in": users}}
    assert len(server.query_users(wanted)["users"]) == 30
    assert len(server.query_users(wanted, limit=100)["users"]) == 40
    server.deactivate_user("user-1")
    server.delete_user("user-2")
    assert len(server.query_users(wanted, limit=100)["users"]) == 38
    found = server.query_users(wanted, limit=100, include_deactivated_users=True)["users"]
    assert {user["id"] for user in found} == {*users} - {"user-2"}


def test_some_users_cannot_be_changed(stream: StreamDouble, server: StreamChat) -> None:
    """A user that a test names spoils each call that is about them, with code 4."""
    server.upsert_users([{"id": "john"}, {"id": "jane"}])
    stream.app.unchangeable = {"jane"}
    server.update_user_partial({"id": "john", "set": {"color": "red"}})
    for change in (server.update_users_partial, server.upsert_users):
        with pytest.raises(StreamAPIException) as refused:
            change([{"id": "john", "set": {"color": "blue"}}, {"id": "jane", "set": {}}])
        assert refused.value.error_code == 4
    assert stream.app.users["john"]["color"] == "red"


def test_a_client_is_no_server(stream: StreamDouble) -> None:
    """A user's token changes neither the app nor another user nor its own role."""
    for path, body in (
        ("/app", {"revoke_tokens_issued_before": None}),
        ("/users", {"users": [{"id": "jane", "set": {}}]}),
        ("/users", {"users": [{"id": "john", "set": {"role": "admin"}}]}),
    ):
        answer = call(stream, sign(GOOD), method="PATCH", path=path, body=body)
        assert (answer.status, answer.json()["code"]) == (403, 17)


def test_a_websocket_opens_with_a_health_check(stream: StreamDouble) -> None:
    """The first frame names the connection and `me`; a ping is answered; closing ends it."""
    with dial(stream, sign(GOOD)) as websocket:
        hello = json.loads(websocket.recv(timeout=30))
        assert (hello["type"], hello["me"]["name"]) == ("health.check", "John")
        (session,) = stream.sessions.wait_for("john")
        assert hello["connection_id"] == session.id
        websocket.send('[{"type":"health.check","client_id":"john--1"}]')
        assert json.loads(websocket.recv(timeout=30))["connection_id"] == session.id
        session.push({"type": "notification"})
        assert json.loads(websocket.recv(timeout=30)) == {"type": "notification"}
    stream.sessions.wait_for("john", 0)


@pytest.mark.parametrize(
    ("claims", "user", "code"),
    [
        ({**GOOD, "exp": NOW - 1}, None, 40),
        ({**GOOD, "user_id": "jane"}, None, 5),
        ({"server": True}, None, 4),
        ({}, None, 4),
        (GOOD, {"id": "jane"}, 4),
    ],
)
def test_a_websocket_is_refused_in_its_first_frame(
    stream: StreamDouble, claims: dict[str, Any], user: dict[str, Any] | None, code: int
) -> None:
    """An error is the first frame, then the connection ends; no session is left."""
    with dial(stream, sign(claims), user=user) as websocket:
        assert json.loads(websocket.recv(timeout=30))["error"]["code"] == code
        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=30)
    assert not stream.sessions.of("john")


def test_a_client_cannot_give_itself_a_role(stream: StreamDouble) -> None:
    """`connectUser` ignores what only a server may set, and keeps what a server has set."""
    stream.app.users["john"] = {"id": "john", "role": "admin", "teams": ["red"]}
    with dial(stream, sign(GOOD), user={"id": "john", "role": "owner", "teams": []}) as websocket:
        me = json.loads(websocket.recv(timeout=30))["me"]
    assert (me["role"], me["teams"]) == ("admin", ["red"])


def test_a_long_poll_is_a_session_too(stream: StreamDouble) -> None:
    """Opened, polled, closed; an unknown connection id is code 46."""
    details = json.dumps({"user_id": "john", "user_details": {"id": "john"}})
    hello = call(stream, sign(GOOD), path="/longpoll", json=details).json()["event"]
    poll = {"path": "/longpoll", "connection_id": hello["connection_id"]}
    assert call(stream, sign(GOOD), **poll).json()["events"] == []
    stream.sessions.of("john")[0].push({"type": "notification"})
    assert call(stream, sign(GOOD), **poll).json()["events"] == [{"type": "notification"}]
    assert call(stream, sign(GOOD), **poll, close="true").status == 200
    assert call(stream, sign(GOOD), **poll).json()["code"] == 46


def test_answers_carry_the_doubles_clock(stream: StreamDouble) -> None:
    """The `Date` header is Stream's clock, which a doctor compares with ours."""
    assert call(stream, sign(GOOD)).headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"
