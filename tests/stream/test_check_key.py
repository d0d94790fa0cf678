"""The call by which an operator learns whether Stream accepts a key pair."""

import time

import pytest
from stream_chat import StreamChat

from testing.doubles.stream import StreamDouble
from testing.response import Response
from tokensvc.stream import wire
from tokensvc.stream.api import AppIdentity, StreamUnavailableError, check_key

KEY = "key-of-the-app"
SECRET = "a secret of the app, more than 32 bytes long"


@pytest.fixture
def stream():
    with StreamDouble({KEY: SECRET}) as double:
        yield double


def check(stream, *, api_key=KEY, secret=SECRET):
    return check_key(base_url=stream.url, api_key=api_key, secret=secret.encode(), clock=time.time)


def test_a_good_pair_is_accepted(stream):
    """Stream accepts the secret of its own key, and the answer names the app."""
    answer = check(stream)
    assert answer.accepted
    assert "double" in answer.detail
    assert answer.app == AppIdentity(id=4711, organization="tests", name="double")


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
def test_apps_are_told_apart(one, other, same):
    """By Stream's number where both have one, else by name; without any, they are not the same."""
    assert AppIdentity(*one).is_same_as(AppIdentity(*other)) is same
    assert AppIdentity(*other).is_same_as(AppIdentity(*one)) is same


def test_the_call_is_the_one_of_the_official_sdk(stream):
    """Path, query and credentials are those of `get_app_settings` of stream-chat."""
    check(stream)
    StreamChat(KEY, SECRET, base_url=stream.url).get_app_settings()
    ours, theirs = stream.calls.to("GET", "/app")
    assert ours.query == theirs.query
    for name in ("authorization", "stream-auth-type"):
        assert ours.headers[name] == theirs.headers[name]


@pytest.mark.parametrize(
    ("pair", "code"),
    [
        ({"secret": "another secret, also more than 32 bytes long"}, "code 43"),
        ({"api_key": "unknown"}, "code 2"),
    ],
)
def test_a_bad_pair_is_refused_with_streams_words(stream, pair, code):
    """A wrong secret and an unknown key are told apart by Stream's code."""
    answer = check(stream, **pair)
    assert not answer.accepted
    assert code in answer.detail


@pytest.mark.parametrize("offset", [-120, 0, 120])
def test_the_clock_is_compared_with_streams(stream, offset):
    """The difference of the clocks is told to the second, its sign included."""
    now = stream.clock()
    stream.clock.frozen_at = now + offset
    answer = check_key(base_url=stream.url, api_key=KEY, secret=SECRET.encode(), clock=lambda: now)
    assert answer.clock_ahead == pytest.approx(-offset, abs=1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Response(500, {"code": -1, "message": "internal"}), id="error of Stream"),
        pytest.param(Response(429, {"code": 9}), id="rate limit"),
        pytest.param(Response(200, b"<html>"), id="page of a proxy"),
        pytest.param(Response(200, []), id="array"),
        pytest.param(Response(200, b"[" * 500_000), id="nested for ever"),
        pytest.param(Response(200, b" " * (wire.MAX_ANSWER_BYTES + 1)), id="huge"),
        pytest.param(Response(401, b"no"), id="refusal of a proxy"),
        pytest.param(Response(302, b"", {"Location": "/elsewhere"}), id="redirect"),
    ],
)
def test_what_is_no_verdict_is_not_taken_for_one(stream, answer):
    """Neither a failure of Stream nor a proxy's page accepts or refuses a key."""
    stream.faults.respond(answer, "GET /app")
    with pytest.raises(StreamUnavailableError):
        check(stream)


@pytest.mark.sec(25)
def test_the_server_token_goes_to_no_other_place(stream):
    """A redirect is not followed: the admin credential would go with it."""
    stream.faults.respond(Response(307, b"", {"Location": "/stolen"}), "GET /app")
    with pytest.raises(StreamUnavailableError):
        check(stream)
    assert [call.path for call in stream.calls.all()] == ["/app"]


@pytest.mark.sec(25)
@pytest.mark.parametrize("fault", ["refuse", "hang", "cut"])
def test_a_dead_stream_ends_the_call_without_a_leak(stream, fault, monkeypatch):
    """No answer, silence and half an answer each end in an error without token or secret."""
    monkeypatch.setattr(wire, "TIMEOUT", 0.2)
    getattr(stream.faults, fault)("GET /app")
    with pytest.raises(StreamUnavailableError) as raised:
        check(stream)
    error_text = f"{raised.value!r} {raised.value.__cause__!r}"
    assert SECRET not in error_text
    assert "eyJ" not in error_text


def test_an_answer_that_drips_is_cut_off(stream, monkeypatch):
    """The deadline holds for the whole answer, whatever a silence in it may take."""
    monkeypatch.setattr(wire, "DEADLINE", 0.2)
    stream.faults.hang("GET /app")
    with pytest.raises(StreamUnavailableError, match="took over"):
        check(stream)
