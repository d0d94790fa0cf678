"""The Stream double is as strict as Stream, and fails as ordered: other tests rest on it."""

import base64
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
import urllib3
from stream_chat import StreamChat
from stream_chat.base.exceptions import StreamAPIException
from websockets.exceptions import ConnectionClosedError, InvalidMessage
from websockets.sync.client import ClientConnection, connect

from tests.doubles.faults import Answer
from tests.doubles.stream import StreamDouble

KEY, SECRET = "key-1", "secret-of-the-first-key-0123456789abcdef"
NOW = 1_800_000_000
GOOD = {"user_id": "john", "iat": NOW - 5, "exp": NOW + 60}


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble(
        {KEY: SECRET, "key-2": "secret-of-the-second-key-0123456789abcdef"}, poll_seconds=0.2
    ) as double:
        double.clock.frozen_at = NOW
        yield double


@pytest.fixture
def server(stream: StreamDouble) -> StreamChat:
    return StreamChat(KEY, SECRET, base_url=stream.url)


def sign(claims: Any, *, secret: str = SECRET, **header: Any) -> str:
    """Sign any JSON at all, as PyJWT would sign claims."""
    return raw(json.dumps({"alg": "HS256", "typ": "JWT", **header}), json.dumps(claims), secret)


def raw(header: str, payload: str, secret: str = SECRET) -> str:
    signing_input = ".".join(_segment(part.encode()) for part in (header, payload))
    digest = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing_input.encode(), secret.encode()
    )
    return f"{signing_input}.{_segment(digest)}"


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def call(
    stream: StreamDouble,
    token: str,
    *,
    method: str = "GET",
    path: str = "/users",
    api_key: str = KEY,
    auth_type: str = "jwt",
    body: Any = None,
    **query: str,
) -> urllib3.BaseHTTPResponse:
    return urllib3.request(
        method,
        f"{stream.url}{path}?{urlencode({'api_key': api_key, **query})}",
        json=body,
        headers={"Authorization": token, "stream-auth-type": auth_type},
        retries=False,
        timeout=10,
    )


def dial(
    stream: StreamDouble, token: str, *, user: dict[str, Any] | None = None
) -> ClientConnection:
    user = {"id": "john", "name": "John"} if user is None else user
    query = {
        "api_key": KEY,
        "authorization": token,
        "stream-auth-type": "jwt",
        "json": json.dumps({"user_id": "john", "user_details": user}),
    }
    return connect(f"ws{stream.url[4:]}/connect?{urlencode(query)}", proxy=None)


MALFORMED = {
    "text": "token",
    "a JSON answer": '{"token":"a.b.c"}',
    "an object in JavaScript": "[object Object]",
    "two segments": sign(GOOD).rpartition(".")[0],
    "four segments": sign(GOOD) + ".e30",
    "a trailing newline": sign(GOOD) + "\n",
    "a padded segment": sign(GOOD) + "=",
    "the standard alphabet": sign(GOOD).replace(".", ".+", 1),
    "no base64 length": sign(GOOD).replace(".", ".AAAAA", 1),
    "alg none": sign(GOOD, alg="none"),
    "alg HS512": sign(GOOD, alg="HS512"),
    "another typ": sign(GOOD, typ="at+jwt"),
    "a header that is a list": raw("[]", json.dumps(GOOD)),
    "claims that are a list": sign([GOOD]),
    "NaN": raw('{"alg":"HS256"}', '{"user_id":"john","exp":NaN}'),
    "a member twice": raw('{"alg":"HS256"}', '{"user_id":"john","user_id":"jane"}'),
    "a numeric user id": sign({**GOOD, "user_id": 7}),
    "a float exp": sign({**GOOD, "exp": NOW + 60.0}),
    "an exp as text": sign({**GOOD, "exp": str(NOW + 60)}),
    "an exp of 20 digits": sign({**GOOD, "exp": 10**20}),
    "a boolean iat": sign({**GOOD, "iat": True}),
}


@pytest.mark.parametrize("token", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_token_is_code_5(stream: StreamDouble, token: str) -> None:
    """What Stream's Go struct or base64 decoder would not take is code 5, with status 401."""
    with dial(stream, token) as websocket:
        error = json.loads(websocket.recv(timeout=5))["error"]
    assert (error["code"], error["StatusCode"]) == (5, 401), error


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({**GOOD, "exp": NOW}, 40),
        ({**GOOD, "exp": NOW + 1}, None),
        ({**GOOD, "nbf": NOW + 1}, 41),
        ({**GOOD, "iat": NOW + 1}, 42),
        ({**GOOD, "iat": NOW}, None),
        ({"user_id": "john"}, None),
    ],
)
def test_times_are_checked_to_the_second(
    stream: StreamDouble, claims: dict[str, Any], code: int | None
) -> None:
    """`exp`, `nbf` and `iat` have no leeway, and none of them is required."""
    assert call(stream, sign(claims)).json().get("code") == code


def test_the_secret_belongs_to_the_api_key(stream: StreamDouble) -> None:
    """A token is valid with its own key alone: 43 with another, 2 with an unknown one."""
    assert call(stream, sign(GOOD)).status == 200
    assert call(stream, sign(GOOD), api_key="key-2").json()["code"] == 43
    assert call(stream, sign(GOOD), api_key="key-3").json()["code"] == 2
    assert call(stream, sign(GOOD), auth_type="anonymous").json()["code"] == 2


def test_a_call_for_another_user_is_refused(stream: StreamDouble) -> None:
    """The user of the query is the user of the token."""
    assert call(stream, sign(GOOD), user_id="john").status == 200
    assert call(stream, sign(GOOD), user_id="jane").json()["code"] == 5


def test_a_revoked_user_is_refused_by_iat(stream: StreamDouble, server: StreamChat) -> None:
    """A cut-off refuses tokens from before its whole second, and all that have no `iat`."""
    server.upsert_user({"id": "john"})
    server.revoke_user_token("john", datetime.fromtimestamp(NOW - 5 + 0.9, UTC))
    assert call(stream, sign(GOOD)).status == 200
    assert call(stream, sign({**GOOD, "iat": NOW - 6})).json()["code"] == 40
    assert call(stream, sign({"user_id": "john"})).json()["code"] == 40
    assert call(stream, sign({"user_id": "jane"})).status == 200
    server.revoke_user_token("john", None)
    assert call(stream, sign({"user_id": "john"})).status == 200


def test_a_revoked_app_refuses_everyone(stream: StreamDouble, server: StreamChat) -> None:
    """The app's cut-off counts for users that Stream has never seen; the server goes on."""
    server.revoke_tokens(datetime.fromtimestamp(NOW, UTC))
    assert call(stream, sign(GOOD)).json()["code"] == 40
    assert call(stream, sign({**GOOD, "iat": NOW})).status == 200
    assert server.get_app_settings()["app"]["revoke_tokens_issued_before"]
    server.revoke_tokens(None)
    assert call(stream, sign(GOOD)).status == 200


def test_a_cut_off_without_a_zone_is_refused(server: StreamChat) -> None:
    """Python's naive `isoformat` is no RFC 3339."""
    server.upsert_user({"id": "john"})
    with pytest.raises(StreamAPIException) as refused:
        server.revoke_user_token("john", datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None))
    assert refused.value.error_code == 4


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


def test_users_that_are_gone_are_code_16(stream: StreamDouble, server: StreamChat) -> None:
    """A deactivated user is refused until reactivated, a deleted one for good."""
    server.upsert_user({"id": "john"})
    server.deactivate_user("john")
    assert call(stream, sign(GOOD)).json()["code"] == 16
    server.reactivate_user("john")
    assert call(stream, sign(GOOD)).status == 200
    server.delete_user("john")
    assert call(stream, sign(GOOD)).json()["code"] == 16


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
        hello = json.loads(websocket.recv(timeout=5))
        assert (hello["type"], hello["me"]["name"]) == ("health.check", "John")
        (session,) = stream.sessions.wait_for("john")
        assert hello["connection_id"] == session.id
        websocket.send('[{"type":"health.check","client_id":"john--1"}]')
        assert json.loads(websocket.recv(timeout=5))["connection_id"] == session.id
        session.push({"type": "notification"})
        assert json.loads(websocket.recv(timeout=5)) == {"type": "notification"}
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
        assert json.loads(websocket.recv(timeout=5))["error"]["code"] == code
        with pytest.raises(ConnectionClosedError):
            websocket.recv(timeout=5)
    assert not stream.sessions.of("john")


def test_a_client_cannot_give_itself_a_role(stream: StreamDouble) -> None:
    """`connectUser` ignores what only a server may set, and keeps what a server has set."""
    stream.app.users["john"] = {"id": "john", "role": "admin", "teams": ["red"]}
    with dial(stream, sign(GOOD), user={"id": "john", "role": "owner", "teams": []}) as websocket:
        me = json.loads(websocket.recv(timeout=5))["me"]
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


def test_errors_come_on_order_and_apply_nothing(stream: StreamDouble, server: StreamChat) -> None:
    """A code is answered for the next calls of the route alone, with `Retry-After` if wanted."""
    stream.fail_with(9, "POST /users", times=2, retry_after=7)
    assert call(stream, sign(GOOD)).status == 200
    for _ in range(2):
        with pytest.raises(StreamAPIException) as refused:
            server.upsert_user({"id": "john"})
        assert (refused.value.status_code, refused.value.error_code) == (429, 9)
    assert stream.calls.to("POST", "/users")[-1].fault is not None
    assert "john" not in stream.app.users
    server.upsert_user({"id": "john"})
    assert "john" in stream.app.users


def test_a_refused_websocket_never_opens(stream: StreamDouble) -> None:
    """Ordered errors reach a WebSocket in its first frame, ordered refusals as a dead network."""
    stream.fail_with(40, "GET /connect")
    stream.faults.refuse("GET /connect")
    with dial(stream, sign(GOOD)) as websocket:
        assert json.loads(websocket.recv(timeout=5))["error"]["code"] == 40
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
    caller.join(timeout=10)
    assert "john" in stream.app.users


def test_an_answer_on_order_is_sent_as_it_is(stream: StreamDouble) -> None:
    """Whatever a broken proxy in between could say."""
    stream.faults.answer(Answer(502, b"<html>bad gateway</html>"), times=None)
    for _ in range(3):
        assert call(stream, sign(GOOD)).data == b"<html>bad gateway</html>"
    stream.faults.clear()
    assert call(stream, sign(GOOD)).status == 200


def upsert(stream: StreamDouble, user_id: str) -> None:
    body = {"users": {user_id: {"id": user_id}}}
    call(stream, sign({"server": True}), method="POST", body=body)
