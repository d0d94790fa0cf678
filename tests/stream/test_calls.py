"""What an answer of Stream, or of whatever is in its place, says about a call."""

import logging
import time

import pytest

from testing.doubles.stream import StreamDouble
from testing.response import Response as Ordered
from tokensvc.stream import api, wire
from tokensvc.stream import responses as answers
from tokensvc.stream.api import CallStatus, KeyPair, StreamApi

KEY, SECRET = "key-1", "secret-of-the-first-key-0123456789abcdef"
PAIR = KeyPair(KEY, SECRET.encode())
ROUTE = "PATCH /app"
USERS = ("ada", "bob")
NO_CHANGES = {user_id: {} for user_id in USERS}


@pytest.fixture
def stream():
    with StreamDouble({KEY: SECRET}) as double:
        yield double


@pytest.fixture
def calls(stream):
    return StreamApi(stream.url, time.time)


def test_a_verdict_is_streams_own_word(stream, calls):
    """Done with 200 and how long it took, refused with a 4xx that has Stream's code."""
    assert calls.set_app_cut_off(PAIR, 5).verdict is CallStatus.DONE
    stream.fail_with(4, ROUTE)
    refused = calls.set_app_cut_off(PAIR, 5)
    assert (refused.verdict, refused.status, refused.code) == (CallStatus.REFUSED, 400, 4)
    assert "planned" in refused.detail


@pytest.mark.parametrize(
    "ordered",
    [
        Ordered(500, {"code": -1, "message": "internal"}),
        Ordered(408, {"code": 23, "message": "time-out"}),
        Ordered(403, b"<html>forbidden by the proxy"),
        Ordered(404, {"error": "no such page"}),
        Ordered(400, {"code": "4"}),
        Ordered(200, b"<html>sign in to the network"),
        Ordered(200, b"[]"),
        Ordered(200, {}),
        Ordered(200, {"duration": 3}),
        Ordered(204, b""),
        Ordered(302, b"", {"Location": "/elsewhere"}),
        Ordered(200, b'{"a":' * 100_000),
    ],
)
def test_everything_else_is_no_verdict(stream, calls, ordered):
    """A proxy may have passed the call on before it answered in Stream's place."""
    stream.faults.respond(ordered, ROUTE)
    answer = calls.set_app_cut_off(PAIR, 5)
    assert answer.verdict is CallStatus.UNKNOWN
    assert answer.detail


ABOUT_USERS = {
    "cut-off": ("PATCH /users", lambda calls: calls.set_cut_offs(PAIR, {"ada": 5, "bob": None})),
    "change": ("PATCH /users", lambda calls: calls.change_users(PAIR, NO_CHANGES)),
    "creation": ("POST /users", lambda calls: calls.create_users(PAIR, NO_CHANGES)),
    "query": ("GET /users", lambda calls: calls.find_users(PAIR, USERS)),
}


@pytest.mark.parametrize(("route", "call"), ABOUT_USERS.values(), ids=ABOUT_USERS)
@pytest.mark.parametrize(
    "users",
    [None, 1, "ada", {"ada": {"id": "ada"}}, [{"id": "ada"}, {}], [{"id": 1}], ["ada", "bob"]],
)
def test_an_answer_without_the_users_is_no_verdict(stream, calls, route, call, users):
    """Who was written comes back, and who was found has an id: else it is not Stream's answer."""
    stream.app.users = {user_id: {"id": user_id} for user_id in USERS}
    assert call(calls).verdict is CallStatus.DONE
    body = {"duration": "1ms", **({} if users is None else {"users": users})}
    stream.faults.respond(Ordered(200, body), route)
    answer = call(calls)
    assert answer.verdict is CallStatus.UNKNOWN
    assert "without the users" in answer.detail


@pytest.mark.parametrize("fault", ["refuse", "cut", "hang", "late"])
def test_a_lost_answer_is_no_verdict(stream, calls, fault, monkeypatch):
    """The request had left this host."""
    monkeypatch.setattr(wire, "TIMEOUT", 0.3)
    getattr(stream.faults, fault)(ROUTE)
    assert calls.set_app_cut_off(PAIR, 5).verdict is CallStatus.UNKNOWN


def test_what_never_left_is_not_sent(stream, calls):
    """Nobody listens: what was asked for cannot happen later."""
    stream.close()
    answer = calls.set_app_cut_off(PAIR, 5)
    assert answer.verdict is CallStatus.NOT_SENT
    assert "not reached" in answer.detail


def test_a_host_whose_certificate_is_not_trusted_is_sent_nothing(stream):
    """The handshake comes first: neither token nor cut-off goes to a stranger."""
    answer = StreamApi(stream.url.replace("http:", "https:"), time.time).set_app_cut_off(PAIR, 5)
    assert answer.verdict is CallStatus.NOT_SENT
    assert stream.calls.all() == []


def test_an_endless_answer_ends(stream, calls, monkeypatch):
    """The deadline is for the whole exchange, however long each silence may be."""
    monkeypatch.setattr(wire, "DEADLINE", 0.3)
    stream.faults.hang(ROUTE)
    answer = calls.set_app_cut_off(PAIR, 5)
    assert answer.verdict is CallStatus.UNKNOWN
    assert "took over" in answer.detail


NOW = "Fri, 15 Jan 2027 08:00:00 GMT"
SOON = "Fri, 15 Jan 2027 08:00:20 GMT"
RESET = {"X-RateLimit-Reset": "1800000030"}


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 0),
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": SOON}, 20),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT"}, 0),
        ({"Retry-After": "-7"}, 0),
        ({"Retry-After": "9" * 30}, answers.MAX_WAIT),
        ({"X-RateLimit-Remaining": "0", **RESET}, 30),
        ({"X-RateLimit-Remaining": "1", **RESET}, 0),
        ({"X-RateLimit-Remaining": "0"}, 0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1799999990"}, 0),
        ({"Retry-After": "50", "X-RateLimit-Remaining": "0", **RESET}, 50),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
def test_streams_wishes_are_read(headers, wait, status):
    """`Retry-After` in both its forms, and the limits; by Stream's clock, within reason."""
    content = {"duration": "1ms"} if status == 200 else {"code": 9}
    exchanged = wire.Exchanged(status, {"Date": NOW, **headers}, content)
    assert answers.read(exchanged, now=5.0).wait == wait


@pytest.mark.sec(58)
def test_streams_words_are_made_harmless(stream, calls):
    """What a database cannot hold or a terminal would obey is in no detail, nor is a novel."""
    message = "a\x00b\x1b[2Jc\nd\ud800e" + "x" * 1000
    stream.faults.respond(Ordered(400, {"code": 4, "message": message}), ROUTE)
    detail = calls.set_app_cut_off(PAIR, 5).detail
    assert detail.startswith("code 4: a?b?[2Jc?d?exxx")
    assert len(detail) <= 300


@pytest.mark.sec(25, 58)
def test_neither_token_nor_secret_shows(stream, calls, caplog):
    """In no answer, however the call went, and in no log of the HTTP library."""
    caplog.set_level(logging.DEBUG)
    shown = repr(PAIR)
    for fault in (None, "refuse", "cut"):
        if fault:
            getattr(stream.faults, fault)(ROUTE)
        shown += repr(calls.set_app_cut_off(PAIR, 5))
    (token, *_) = (call.headers["authorization"] for call in stream.calls.all())
    shown += caplog.text
    assert SECRET not in shown
    assert token not in shown
    assert token.rpartition(".")[2] not in shown


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, None), (0, "1970-01-01T00:00:00Z"), (1_800_000_000, "2027-01-15T08:00:00Z")],
)
def test_times_are_whole_seconds_in_utc(seconds, written):
    """RFC 3339 with a Z; nothing stands for no cut-off."""
    assert api.rfc3339(seconds) == written
