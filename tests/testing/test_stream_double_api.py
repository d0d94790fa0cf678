"""The Stream double responds to the SDKs and keeps their sessions as Stream does."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from stream_chat import StreamChat
from stream_chat.base.exceptions import StreamAPIException
from websockets.exceptions import ConnectionClosedError

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, NOW, call, dial, sign


def test_upsert_replaces_a_user_and_patch_changes_one(server: StreamChat) -> None:
    """`PATCH /users` does not create a user."""
    server.upsert_user({"id": "john", "name": "John"})
    server.revoke_user_token("john", datetime.fromtimestamp(NOW, UTC))
    patched = server.update_user_partial({"id": "john", "set": {"color": "red"}})["users"]["john"]
    assert (patched["name"], patched["color"]) == ("John", "red")
    replaced = server.upsert_user({"id": "john"})["users"]["john"]
    assert not {"name", "revoke_tokens_issued_before"} & set(replaced)
    with pytest.raises(StreamAPIException) as refused:
        server.update_user_partial({"id": "jane", "set": {"color": "red"}})
    assert (refused.value.status_code, refused.value.error_code) == (404, 16)


def test_invalid_batch_changes_no_user(stream: StreamDouble, server: StreamChat) -> None:
    """With one unknown user, or one user too many."""
    server.upsert_users([{"id": f"user-{i}"} for i in range(100)])
    for ids in ([*range(100), 100], [0, "unknown"]):
        with pytest.raises(StreamAPIException):
            server.update_users_partial([{"id": f"user-{i}", "set": {"color": "red"}} for i in ids])
    assert not any("color" in user for user in stream.app.users.values())
    found = server.query_users({"id": {"$in": ["user-1", "missing", "user-2"]}})["users"]
    assert [user["id"] for user in found] == ["user-1", "user-2"]


def test_query_returns_the_requested_users(server: StreamChat) -> None:
    """30 users by default. Deactivated ones only on request, deleted ones never."""
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


def test_unchangeable_user_fails_its_calls_with_code_4(
    stream: StreamDouble, server: StreamChat
) -> None:
    server.upsert_users([{"id": "john"}, {"id": "jane"}])
    stream.app.unchangeable = {"jane"}
    server.update_user_partial({"id": "john", "set": {"color": "red"}})
    for change in (server.update_users_partial, server.upsert_users):
        with pytest.raises(StreamAPIException) as refused:
            change([{"id": "john", "set": {"color": "blue"}}, {"id": "jane", "set": {}}])
        assert refused.value.error_code == 4
    assert stream.app.users["john"]["color"] == "red"


def test_user_token_cannot_act_as_server(stream: StreamDouble) -> None:
    for path, body in (
        ("/app", {"revoke_tokens_issued_before": None}),
        ("/users", {"users": [{"id": "jane", "set": {}}]}),
        ("/users", {"users": [{"id": "john", "set": {"role": "admin"}}]}),
    ):
        response = call(stream, sign(GOOD), method="PATCH", path=path, body=body)
        assert (response.status, response.json()["code"]) == (403, 17)


def test_websocket_starts_with_a_health_check(stream: StreamDouble) -> None:
    """The first frame contains the connection ID and `me`. The double responds to pings."""
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
def test_refused_websocket_gets_an_error_frame(
    stream: StreamDouble, claims: dict[str, Any], user: dict[str, Any] | None, code: int
) -> None:
    """Then the connection closes, and no session remains."""
    with dial(stream, sign(claims), user=user) as websocket:
        assert json.loads(websocket.recv(timeout=30))["error"]["code"] == code
        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=30)
    assert not stream.sessions.of("john")


def test_connecting_user_cannot_change_its_role(stream: StreamDouble) -> None:
    """`connectUser` ignores and keeps fields that only a server can set."""
    stream.app.users["john"] = {"id": "john", "role": "admin", "teams": ["red"]}
    with dial(stream, sign(GOOD), user={"id": "john", "role": "owner", "teams": []}) as websocket:
        me = json.loads(websocket.recv(timeout=30))["me"]
    assert (me["role"], me["teams"]) == ("admin", ["red"])


def test_long_polling_is_a_session(stream: StreamDouble) -> None:
    """An unknown connection ID is code 46."""
    details = json.dumps({"user_id": "john", "user_details": {"id": "john"}})
    hello = call(stream, sign(GOOD), path="/longpoll", json=details).json()["event"]
    poll = {"path": "/longpoll", "connection_id": hello["connection_id"]}
    assert call(stream, sign(GOOD), **poll).json()["events"] == []
    stream.sessions.of("john")[0].push({"type": "notification"})
    assert call(stream, sign(GOOD), **poll).json()["events"] == [{"type": "notification"}]
    assert call(stream, sign(GOOD), **poll, close="true").status == 200
    assert call(stream, sign(GOOD), **poll).json()["code"] == 46


def test_date_header_is_the_clock_of_the_double(stream: StreamDouble) -> None:
    """`doctor` compares it with the clock of the service."""
    assert call(stream, sign(GOOD)).headers["Date"] == "Fri, 15 Jan 2027 08:00:00 GMT"


def test_deleted_user_is_refused_at_once_and_the_task_deletes_the_rest(
    stream: StreamDouble, server: StreamChat
) -> None:
    """`hard` keeps nothing; a user who does not exist fails the call."""
    stream.limits.lift()
    server.upsert_users([{"id": "john", "name": "John"}, {"id": "jane"}])
    modes = {"messages": "hard", "conversations": "hard"}
    for wanted in (["john", "missing"], []):
        with pytest.raises(StreamAPIException):
            server.delete_users(wanted, "hard", **modes)
    with pytest.raises(StreamAPIException):
        server.delete_users(["john"], "hard", messages="soft")
    task = server.delete_users(["john"], "hard", **modes)["task_id"]
    assert stream.app.users["john"].keys() == {"id", "deleted_at"}
    with dial(stream, sign(GOOD)) as socket:
        assert json.loads(socket.recv())["error"]["code"] == 16
    assert [server.get_task(task)["status"] for _ in range(3)] == [
        "running",
        "completed",
        "completed",
    ]
    with pytest.raises(StreamAPIException) as again:
        server.delete_users(["john"], "hard", **modes)
    assert again.value.error_code == 16
