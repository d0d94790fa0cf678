"""The Stream double carries a chat of two users in browsers, as Stream does."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import urllib3
from websockets.sync.client import ClientConnection

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, call, dial, sign

ROOM = "/channels/livestream/room"


class Watcher:
    """A user who is connected and watches a channel."""

    def __init__(self, stream: StreamDouble, socket: ClientConnection, user_id: str) -> None:
        self.token = sign({**GOOD, "user_id": user_id})
        self._stream, self._socket = stream, socket
        self.connection_id = json.loads(socket.recv(10))["connection_id"]
        self.state = self.post("query", {"state": True, "watch": True})[1]

    def post(self, action: str, body: Any, path: str = ROOM) -> tuple[int, Any]:
        """Return the status and the body of a call."""
        response = call(
            self._stream,
            self.token,
            method="POST",
            path=f"{path}/{action}",
            body=body,
            connection_id=self.connection_id,
        )
        return response.status, response.json()

    def received(self) -> list[Any]:
        """Return the events up to this moment. A health check ends them."""
        self._socket.send('[{"type": "health.check"}]')
        events = []
        while (event := json.loads(self._socket.recv(10)))["type"] != "health.check":
            events.append(event)
        return events


@pytest.fixture
def join(stream: StreamDouble) -> Iterator[Any]:
    """Yield a function that connects a user to the room."""
    with ExitStack() as stack:

        def connect(user_id: str, **settings: bool) -> Watcher:
            privacy = {name: {"enabled": enabled} for name, enabled in settings.items()}
            user = {"id": user_id, "privacy_settings": privacy}
            token = sign({**GOOD, "user_id": user_id})
            socket = stack.enter_context(dial(stream, token, user_id=user_id, user=user))
            return Watcher(stream, socket, user_id)

        yield connect


def test_message_reaches_the_watchers_and_is_kept(join: Any) -> None:
    john, jane = join("john"), join("jane")
    status, sent = john.post("message", {"message": {"text": "hello", "id": "m1"}})
    assert status == 201
    for watcher in (john, jane):
        (event,) = watcher.received()
        assert (event["type"], event["message"]) == ("message.new", sent["message"])
        assert (event["user"]["id"], event["cid"]) == ("john", "livestream:room")
    state = join("mary").state
    assert [message["text"] for message in state["messages"]] == ["hello"]
    assert [user["id"] for user in state["watchers"]] == ["jane", "john", "mary"]


def test_watchers_notice_the_end_of_the_last_connection(stream: StreamDouble, join: Any) -> None:
    _, _, jane = join("john"), join("john"), join("jane")
    stream.sessions.drop("john")
    (event,) = jane.received()
    assert (event["type"], event["user"]["id"]) == ("user.watching.stop", "john")


@pytest.mark.parametrize(
    ("action", "body", "status", "code"),
    [
        ("message", {"message": {"text": ""}}, 400, 4),
        ("message", {"message": {"text": "x" * 5001}}, 400, 4),
        ("message", {"message": {"text": "again", "id": "m1"}}, 400, 4),
        ("message", {}, 400, 4),
        ("event", {"event": {"type": "message.new"}}, 400, 4),
        ("reaction", {}, 404, 16),
    ],
)
def test_invalid_call_of_a_channel_is_refused(
    join: Any, action: str, body: Any, status: int, code: int
) -> None:
    john = join("john")
    john.post("message", {"message": {"text": "first", "id": "m1"}})
    john.received()
    refused, error = john.post(action, body)
    assert (refused, error["code"]) == (status, code)
    assert john.received() == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/channels/messaging/room", 404, 16),
        ("/channels/livestream/a%20room", 400, 4),
        ("/channels/livestream/a.room", 400, 4),
    ],
)
def test_channel_of_another_type_or_with_an_illegal_id_is_refused(
    join: Any, path: str, status: int, code: int
) -> None:
    refused, error = join("john").post("query", {}, path)
    assert (refused, error["code"]) == (status, code)


def test_watching_needs_the_users_own_connection(stream: StreamDouble, join: Any) -> None:
    john, jane = join("john"), join("jane")
    for connection_id in ("unknown", jane.connection_id):
        response = call(
            stream,
            john.token,
            method="POST",
            path=f"{ROOM}/query",
            body={"watch": True},
            connection_id=connection_id,
        )
        assert (response.status, response.json()["code"]) == (400, 46)


def test_query_of_known_channels_watches_them(stream: StreamDouble, join: Any) -> None:
    """As the SDK does after it has reconnected."""
    join("john")
    with dial(stream, sign({**GOOD, "user_id": "jane"}), user_id="jane") as socket:
        connection_id = json.loads(socket.recv(10))["connection_id"]
        found = call(
            stream,
            sign({**GOOD, "user_id": "jane"}),
            method="POST",
            path="/channels",
            body={
                "filter_conditions": {"cid": {"$in": ["livestream:room", "livestream:other"]}},
                "watch": True,
            },
            connection_id=connection_id,
        ).json()["channels"]
        assert [state["channel"]["cid"] for state in found] == ["livestream:room"]
        assert {user["id"] for user in found[0]["watchers"]} == {"john", "jane"}


@pytest.mark.parametrize(
    ("sender", "receiver", "reached"),
    [
        ({}, {}, True),
        ({"typing_indicators": False}, {}, False),
        ({}, {"typing_indicators": False}, False),
    ],
)
def test_typing_reaches_users_who_both_show_it(
    join: Any, sender: Any, receiver: Any, reached: bool
) -> None:
    john, jane = join("john", **sender), join("jane", **receiver)
    assert john.post("event", {"event": {"type": "typing.start"}})[0] == 201
    assert [event["type"] for event in jane.received()] == ["typing.start"] * reached


@pytest.mark.parametrize("shown", [True, False])
def test_read_receipt_reaches_others_if_the_reader_shows_it(join: Any, shown: bool) -> None:
    john, jane = join("john"), join("jane", read_receipts=shown)
    john.post("message", {"message": {"text": "hello", "id": "m1"}})
    john.received()
    jane.received()
    jane.post("read", {})
    assert [event["last_read_message_id"] for event in jane.received()] == ["m1"]
    assert [event["user"]["id"] for event in john.received()] == ["jane"] * shown
    readers = [read["user"]["id"] for read in join("mary").state["read"]]
    assert readers == ["jane"] * shown


@pytest.mark.parametrize(
    "settings", ["no object", {"typing": {}}, {"read_receipts": {"enabled": 1}}]
)
def test_malformed_privacy_settings_are_refused(stream: StreamDouble, settings: Any) -> None:
    user = {"id": "john", "privacy_settings": settings}
    with dial(stream, sign(GOOD), user=user) as socket:
        assert json.loads(socket.recv(10))["error"]["code"] == 4


def test_token_that_counts_as_expired_is_refused(stream: StreamDouble, join: Any) -> None:
    john = join("john")
    stream.app.expired.add(john.token)
    assert john.post("message", {"message": {"text": "late"}})[1]["code"] == 40


def test_browser_may_read_each_response(stream: StreamDouble) -> None:
    """CORS: the preflight, an error and a planned error."""
    preflight = urllib3.request(
        "OPTIONS",
        f"{stream.url}{ROOM}/query",
        headers={
            "Origin": "http://127.0.0.1:8080",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,stream-auth-type,x-stream-client",
        },
    )
    assert preflight.status == 204
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "stream-auth-type", "x-stream-client", "x-client-request-id"} <= {
        *allowed.split(", ")
    }
    stream.fail_with(9, "GET /users")
    for status in (429, 401):
        response = call(stream, "no token")
        assert response.status == status
        assert response.headers["Access-Control-Allow-Origin"] == "*"
