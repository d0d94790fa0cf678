"""The Stream double is as strict with tokens as Stream, because other tests depend on it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from stream_chat import StreamChat
from stream_chat.base.exceptions import StreamAPIException

from testing.doubles.stream import StreamDouble
from testing.doubles.stream_calls import GOOD, NOW, call, dial, raw, sign

MALFORMED = {
    "text": "token",
    "JSON": '{"token":"a.b.c"}',
    "object in JavaScript": "[object Object]",
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
def test_malformed_token_is_code_5(stream: StreamDouble, token: str) -> None:
    """Stream's Go struct and its base64 decoder do not accept it."""
    with dial(stream, token) as websocket:
        error = json.loads(websocket.recv(timeout=30))["error"]
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
def test_times_are_checked_without_leeway(
    stream: StreamDouble, claims: dict[str, Any], code: int | None
) -> None:
    """`exp`, `nbf` and `iat` are optional."""
    assert call(stream, sign(claims)).json().get("code") == code


def test_token_is_valid_only_with_its_own_key(stream: StreamDouble) -> None:
    """43 with another key, 2 with an unknown one."""
    assert call(stream, sign(GOOD)).status == 200
    assert call(stream, sign(GOOD), api_key="key-2").json()["code"] == 43
    assert call(stream, sign(GOOD), api_key="key-3").json()["code"] == 2
    assert call(stream, sign(GOOD), auth_type="anonymous").json()["code"] == 2


def test_call_for_another_user_is_refused(stream: StreamDouble) -> None:
    assert call(stream, sign(GOOD), user_id="john").status == 200
    assert call(stream, sign(GOOD), user_id="jane").json()["code"] == 5


def test_cut_off_refuses_older_tokens_of_the_user(stream: StreamDouble, server: StreamChat) -> None:
    """It is compared in whole seconds. Tokens without `iat` are refused."""
    server.upsert_user({"id": "john"})
    server.revoke_user_token("john", datetime.fromtimestamp(NOW - 5 + 0.9, UTC))
    assert call(stream, sign(GOOD)).status == 200
    assert call(stream, sign({**GOOD, "iat": NOW - 6})).json()["code"] == 40
    assert call(stream, sign({"user_id": "john"})).json()["code"] == 40
    assert call(stream, sign({"user_id": "jane"})).status == 200
    server.revoke_user_token("john", None)
    assert call(stream, sign({"user_id": "john"})).status == 200


def test_cut_off_of_the_app_refuses_all_users(stream: StreamDouble, server: StreamChat) -> None:
    """Also users that Stream has not seen, but not the server."""
    server.revoke_tokens(datetime.fromtimestamp(NOW, UTC))
    assert call(stream, sign(GOOD)).json()["code"] == 40
    assert call(stream, sign({**GOOD, "iat": NOW})).status == 200
    assert server.get_app_settings()["app"]["revoke_tokens_issued_before"]
    server.revoke_tokens(None)
    assert call(stream, sign(GOOD)).status == 200


def test_cut_off_without_a_time_zone_is_refused(server: StreamChat) -> None:
    """Python's naive `isoformat` is not RFC 3339."""
    server.upsert_user({"id": "john"})
    with pytest.raises(StreamAPIException) as refused:
        server.revoke_user_token("john", datetime.fromtimestamp(NOW, UTC).replace(tzinfo=None))
    assert refused.value.error_code == 4


def test_deactivated_or_deleted_user_is_code_16(stream: StreamDouble, server: StreamChat) -> None:
    server.upsert_user({"id": "john"})
    server.deactivate_user("john")
    assert call(stream, sign(GOOD)).json()["code"] == 16
    server.reactivate_user("john")
    assert call(stream, sign(GOOD)).status == 200
    server.delete_user("john")
    assert call(stream, sign(GOOD)).json()["code"] == 16
