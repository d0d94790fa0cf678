"""The call that checks whether Stream accepts a Stream key."""

import time

import pytest
from stream_chat import StreamChat

from testing.doubles.stream import StreamDouble
from testing.response import Response
from tokensvc.stream import wire
from tokensvc.stream.api import check_key
from tokensvc.stream.app import StreamApp
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import StreamUnavailableError

KEY = "key-of-the-app"
SECRET = "a secret of the app, more than 32 bytes long"


@pytest.fixture
def stream():
    with StreamDouble({KEY: SECRET}) as double:
        yield double


def check(stream, *, api_key=KEY, secret=SECRET, clock=time.time):
    key = StreamKey(api_key, secret.encode(), KeyState.ACTIVE)
    return check_key(stream.url, key, clock)


def test_valid_pair_is_accepted_with_the_app(stream):
    result = check(stream)
    assert result.accepted
    assert "double" in result.detail
    assert result.app == StreamApp(id=4711, organization="tests", name="double")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ((1, "org", "app"), (1, "org", "app renamed"), True),
        ((1, "org", "app"), (2, "org", "app"), False),
        ((None, "org", "app"), (None, "org", "app"), True),
        ((None, "org", "app"), (7, "org", "app"), True),
        ((None, "org", "app"), (None, "org", "other"), False),
        ((None, "org", "app"), (None, "other", "app"), False),
        ((None, "org", ""), (None, "org", ""), False),
    ],
)
def test_apps_are_compared_by_number_else_by_name(one, other, same):
    """Without a name they are not the same."""
    first, second = (
        StreamApp(id=number, organization=owner, name=name) for number, owner, name in (one, other)
    )
    assert first.is_same_as(second) is same
    assert second.is_same_as(first) is same


def test_call_equals_the_official_sdks(stream):
    """Path, query and credentials are those of stream-chat's `get_app_settings`."""
    check(stream)
    StreamChat(KEY, SECRET, base_url=stream.url).get_app_settings()
    ours, theirs = stream.calls.to("GET", "/app")
    assert ours.query == theirs.query
    for name in ("authorization", "stream-auth-type"):
        assert ours.headers[name] == theirs.headers[name]


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ({"secret": "another secret, also more than 32 bytes long"}, "code 43"),
        ({"api_key": "unknown"}, "code 2"),
    ],
)
def test_invalid_key_is_refused_with_streams_code(stream, key, code):
    result = check(stream, **key)
    assert not result.accepted
    assert code in result.detail


@pytest.mark.parametrize("offset", [-120, 0, 120])
def test_clock_is_compared_with_streams(stream, offset):
    """To the second, with its sign."""
    now = stream.clock()
    stream.clock.frozen_at = now + offset
    result = check(stream, clock=lambda: now)
    assert result.clock_ahead == pytest.approx(-offset, abs=1)


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(Response(500, {"code": -1, "message": "internal"}), id="error of Stream"),
        pytest.param(Response(429, {"code": 9}), id="rate limit"),
        pytest.param(Response(200, b"<html>"), id="page of a proxy"),
        pytest.param(Response(200, []), id="array"),
        pytest.param(Response(200, {"app": "chat"}), id="app of another type"),
        pytest.param(Response(200, b"[" * 500_000), id="deeply nested"),
        pytest.param(Response(200, b" " * (wire.MAX_RESPONSE_BYTES + 1)), id="huge"),
        pytest.param(Response(401, b"no"), id="refusal of a proxy"),
        pytest.param(Response(302, b"", {"Location": "/elsewhere"}), id="redirect"),
        pytest.param(Response(403, b"no"), id="refusal of a firewall"),
        pytest.param(Response(403, {"code": "43"}), id="code that is not a number"),
        pytest.param(Response(403, {"code": 17, "message": "not allowed"}), id="call not allowed"),
        pytest.param(Response(403, {"code": 99, "message": "suspended"}), id="app suspended"),
    ],
)
def test_other_responses_neither_accept_nor_refuse(stream, response):
    """The error has the status, and Stream's code if there is one."""
    stream.faults.respond(response, "GET /app")
    with pytest.raises(StreamUnavailableError) as raised:
        check(stream)
    if response.status != 200:
        assert f"status {response.status}" in str(raised.value)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("code", [2, 5, 43])
def test_codes_of_a_wrong_key_refuse_with_any_status(stream, status, code):
    stream.faults.respond(Response(status, {"code": code, "message": "wrong"}), "GET /app")
    result = check(stream)
    assert (result.accepted, result.detail) == (False, f"code {code}: wrong")


@pytest.mark.sec(25)
def test_redirect_with_the_server_token_is_not_followed(stream):
    stream.faults.respond(Response(307, b"", {"Location": "/stolen"}), "GET /app")
    with pytest.raises(StreamUnavailableError):
        check(stream)
    assert [call.path for call in stream.calls.all()] == ["/app"]


@pytest.mark.sec(25)
@pytest.mark.parametrize("fault", ["refuse", "hang", "cut"])
def test_error_of_an_unavailable_stream_contains_no_secret(stream, fault, monkeypatch):
    monkeypatch.setattr(wire, "DEADLINE", 0.2)
    getattr(stream.faults, fault)("GET /app")
    with pytest.raises(StreamUnavailableError) as raised:
        check(stream)
    error_text = f"{raised.value!r} {raised.value.__cause__!r}"
    assert SECRET not in error_text
    assert "eyJ" not in error_text
