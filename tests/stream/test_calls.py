"""The result of a call, from a response of Stream or of a server in its place."""

import json
import logging
import time

import pytest

from testing.doubles.stream import StreamDouble
from testing.names import silent_name_server
from testing.response import Response
from tokensvc.net.http import HttpResponse
from tokensvc.stream import api, responses, wire
from tokensvc.stream.api import StreamApi
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import CallStatus

KEY, SECRET = "key-1", "secret-of-the-first-key-0123456789abcdef"
A_KEY = StreamKey(KEY, SECRET.encode(), KeyState.ACTIVE)
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


def test_streams_response_is_done_or_refused(stream, calls):
    """200 with `duration` is done; a 4xx with Stream's code is refused."""
    assert calls.set_app_cut_off(A_KEY, 5).status is CallStatus.DONE
    stream.fail_with(4, ROUTE)
    refused = calls.set_app_cut_off(A_KEY, 5)
    assert refused.status is CallStatus.REFUSED
    assert "code 4: planned" in refused.error


@pytest.mark.parametrize(
    ("status", "code", "result"),
    [
        (401, 43, CallStatus.KEY_REFUSED),
        (401, 40, CallStatus.KEY_REFUSED),
        (403, 99, CallStatus.KEY_REFUSED),
        (400, 2, CallStatus.KEY_REFUSED),
        (403, 17, CallStatus.REFUSED),
        (429, 9, CallStatus.NOT_DELIVERED),
        (404, 16, CallStatus.ABSENT),
        (413, 22, CallStatus.REFUSED),
    ],
)
def test_refusals_differ_by_status_and_code(status, code, result):
    response = HttpResponse(status, {}, json.dumps({"code": code}).encode())
    assert responses.read_response(response, now=5.0).status is result


@pytest.mark.parametrize(
    "planned",
    [
        Response(500, {"code": -1, "message": "internal"}),
        Response(408, {"code": 23, "message": "time-out"}),
        Response(403, b"<html>forbidden by the proxy"),
        Response(404, {"error": "no such page"}),
        Response(400, {"code": "4"}),
        Response(200, b"<html>sign in to the network"),
        Response(200, b"[]"),
        Response(200, {}),
        Response(200, {"duration": 3}),
        Response(204, b""),
        Response(302, b"", {"Location": "/elsewhere"}),
        Response(200, b'{"a":' * 100_000),
    ],
)
def test_any_other_response_is_unknown(stream, calls, planned):
    """A proxy may have forwarded the call before it responded in Stream's place."""
    stream.faults.respond(planned, ROUTE)
    response = calls.set_app_cut_off(A_KEY, 5)
    assert response.status is CallStatus.UNKNOWN
    assert response.error


ABOUT_USERS = {
    "cut-off": (
        "PATCH /users",
        lambda calls: calls.set_cut_offs(A_KEY, {"ada": 5, "bob": None}),
    ),
    "change": ("PATCH /users", lambda calls: calls.change_users(A_KEY, NO_CHANGES)),
    "creation": ("POST /users", lambda calls: calls.create_users(A_KEY, NO_CHANGES)),
    "query": ("GET /users", lambda calls: calls.find_users(A_KEY, USERS)),
}


@pytest.mark.parametrize(("route", "call"), ABOUT_USERS.values(), ids=ABOUT_USERS)
@pytest.mark.parametrize(
    "users",
    [None, 1, "ada", {"ada": {"id": "ada"}}, [{"id": "ada"}, {}], [{"id": 1}], ["ada", "bob"]],
)
def test_response_without_the_users_is_unknown(stream, calls, route, call, users):
    """Stream returns all written users, and found users with their ids."""
    stream.app.users = {user_id: {"id": user_id} for user_id in USERS}
    assert call(calls).status is CallStatus.DONE
    body = {"duration": "1ms", **({} if users is None else {"users": users})}
    stream.faults.respond(Response(200, body), route)
    response = call(calls)
    assert response.status is CallStatus.UNKNOWN
    assert "without the users" in response.error


@pytest.mark.parametrize("fault", ["refuse", "cut", "hang", "late"])
def test_lost_response_is_unknown(stream, calls, fault, monkeypatch):
    """The request was sent."""
    monkeypatch.setattr(wire, "DEADLINE", 0.3)
    getattr(stream.faults, fault)(ROUTE)
    assert calls.set_app_cut_off(A_KEY, 5).status is CallStatus.UNKNOWN


def test_unsent_request_is_not_delivered(stream, calls):
    """No server listens: the call cannot take effect later."""
    stream.close()
    response = calls.set_app_cut_off(A_KEY, 5)
    assert response.status is CallStatus.NOT_DELIVERED
    assert "cannot connect" in response.error


@pytest.mark.sec(65)
def test_call_is_not_delivered_while_the_name_server_is_silent(monkeypatch):
    """The deadline starts before the look-up, which has no time limit of its own."""
    monkeypatch.setattr(wire, "DEADLINE", 0.2)
    calls = StreamApi("http://stream.example", time.time)
    with silent_name_server():
        response = calls.set_app_cut_off(A_KEY, 5)
    assert response.status is CallStatus.NOT_DELIVERED


def test_nothing_is_sent_without_a_tls_handshake(stream):
    response = StreamApi(stream.url.replace("http:", "https:"), time.time).set_app_cut_off(A_KEY, 5)
    assert response.status is CallStatus.NOT_DELIVERED
    assert stream.calls.all() == []


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
        ({"Retry-After": "9" * 30}, responses.MAX_WAIT),
        ({"X-RateLimit-Remaining": "0", **RESET}, 30),
        ({"X-RateLimit-Remaining": "1", **RESET}, 0),
        ({"X-RateLimit-Remaining": "0"}, 0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1799999990"}, 0),
        ({"Retry-After": "50", "X-RateLimit-Remaining": "0", **RESET}, 50),
    ],
)
@pytest.mark.parametrize("status", [200, 429])
def test_pause_is_read_from_headers(headers, wait, status):
    """`Retry-After` in both forms, and a used-up rate limit; by Stream's clock, at most an hour."""
    body = b'{"duration": "1ms"}' if status == 200 else b'{"code": 9}'
    response = HttpResponse(status, {"Date": NOW, **headers}, body)
    assert responses.read_response(response, now=5.0).wait == wait


@pytest.mark.sec(58)
def test_error_text_is_printable_and_short(stream, calls):
    """A database can store it, and it does not control a terminal."""
    message = "a\x00b\x1b[2Jc\nd\ud800e" + "x" * 1000
    stream.faults.respond(Response(400, {"code": 4, "message": message}), ROUTE)
    error = calls.set_app_cut_off(A_KEY, 5).error
    assert error.startswith("code 4: a?b?[2Jc?d?exxx")
    assert len(error) <= 300


@pytest.mark.sec(25, 58)
def test_token_and_secret_are_in_no_response_and_no_log(stream, calls, caplog):
    caplog.set_level(logging.DEBUG)
    shown = repr(A_KEY)
    for fault in (None, "refuse", "cut"):
        if fault:
            getattr(stream.faults, fault)(ROUTE)
        shown += repr(calls.set_app_cut_off(A_KEY, 5))
    (token, *_) = (call.headers["authorization"] for call in stream.calls.all())
    shown += caplog.text
    assert SECRET not in shown
    assert token not in shown
    assert token.rpartition(".")[2] not in shown


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, None), (0, "1970-01-01T00:00:00Z"), (1_800_000_000, "2027-01-15T08:00:00Z")],
)
def test_cut_off_is_written_as_rfc3339_in_utc(seconds, written):
    assert api.rfc3339(seconds) == written
