"""Stream's Python SDK is the oracle: for the same cut-off, the service sends what it sends."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from stream_chat import StreamChat

from testing.doubles.http_double import Call
from testing.doubles.stream import StreamDouble
from testing.service import STREAM_API_KEY, STREAM_API_SECRET
from tokensvc.core.clock import system_clock
from tokensvc.stream.api import CallStatus, KeyPair, StreamApi, StreamResponse, rfc3339, user_ids_in

CUT_OFFS = [None, 0, 1_700_000_000, 1_767_323_045, 4_102_444_799]
PAIR = KeyPair(STREAM_API_KEY, STREAM_API_SECRET.encode())
USERS = ["ada", "bob@x", "e-v_e"]
FIELDS = ("authorization", "stream-auth-type")


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as double:
        double.app.users = {user_id: {"id": user_id} for user_id in USERS}
        yield double


@pytest.fixture
def ours(stream: StreamDouble) -> StreamApi:
    return StreamApi(stream.url, system_clock)


@pytest.fixture
def theirs(stream: StreamDouble) -> StreamChat:
    return StreamChat(STREAM_API_KEY, STREAM_API_SECRET, base_url=stream.url)


def sent(stream: StreamDouble, call: Callable[[], Any]) -> Call:
    """Give the one request that a call sends, which the double takes."""
    stream.calls.clear()
    response = call()
    if isinstance(response, StreamResponse):
        assert response.status is CallStatus.DONE
    (request,) = stream.calls.all()
    assert request.status in {200, 201}
    return request


def assert_equal(one: Call, other: Call) -> None:
    """Hold two requests against each other, field by field."""
    assert (one.method, one.path, one.query) == (other.method, other.path, other.query)
    for name in FIELDS:
        assert one.headers[name] == other.headers[name], name
    assert bool(one.body) == bool(other.body)
    if one.body:
        assert one.headers["content-type"] == other.headers["content-type"]
        assert one.json == other.json


@pytest.mark.parametrize("cut_off", CUT_OFFS)
def test_users_cut_offs_are_the_sdks(
    stream: StreamDouble, ours: StreamApi, theirs: StreamChat, cut_off: int | None
) -> None:
    """`revoke_users_token` with the same time, undo (null) included."""
    assert_equal(
        sent(stream, lambda: ours.set_cut_offs(PAIR, dict.fromkeys(USERS, cut_off))),
        sent(stream, lambda: theirs.revoke_users_token(USERS, rfc3339(cut_off))),
    )


@pytest.mark.parametrize("cut_off", CUT_OFFS)
def test_the_apps_cut_off_is_the_sdks(
    stream: StreamDouble, ours: StreamApi, theirs: StreamChat, cut_off: int | None
) -> None:
    """`revoke_tokens` with the same time, undo (null) included."""
    assert_equal(
        sent(stream, lambda: ours.set_app_cut_off(PAIR, cut_off)),
        sent(stream, lambda: theirs.revoke_tokens(rfc3339(cut_off))),
    )


@pytest.mark.parametrize("cut_off", [one for one in CUT_OFFS if one is not None])
def test_a_datetime_of_the_sdk_is_the_same_moment(
    stream: StreamDouble, ours: StreamApi, theirs: StreamChat, cut_off: int
) -> None:
    """What the SDK makes of an aware `datetime` differs in writing alone."""
    moment = datetime.fromtimestamp(cut_off, UTC)
    one = sent(stream, lambda: ours.set_cut_offs(PAIR, {"ada": cut_off})).json
    other = sent(stream, lambda: theirs.revoke_user_token("ada", moment)).json
    for body in (one, other):
        (user,) = body["users"]
        written = user["set"].pop("revoke_tokens_issued_before")
        assert datetime.fromisoformat(written) == moment
    assert one == other


def test_profiles_are_the_sdks(stream: StreamDouble, ours: StreamApi, theirs: StreamChat) -> None:
    """`upsert_users` for users who are not there, `update_users_partial` for those who are."""
    new = {"new-1": {"name": "N"}, "new-2": {"role": "admin", "teams": ["red"]}}
    assert_equal(
        sent(stream, lambda: ours.create_users(PAIR, new)),
        sent(
            stream,
            lambda: theirs.upsert_users([{"id": each, **new[each]} for each in new]),
        ),
    )
    changes = {"ada": {"set": {"name": "A"}, "unset": ["color"]}, "bob@x": {"set": {}}}
    assert_equal(
        sent(stream, lambda: ours.change_users(PAIR, changes)),
        sent(
            stream,
            lambda: theirs.update_users_partial(
                [{"id": each, **changes[each]} for each in changes]
            ),
        ),
    )


def test_the_query_is_the_sdks(stream: StreamDouble, ours: StreamApi, theirs: StreamChat) -> None:
    """`query_users` by id, a hundred at once, deactivated ones too."""
    wanted = [*USERS, "nobody"]
    one = sent(stream, lambda: ours.find_users(PAIR, wanted))
    other = sent(
        stream,
        lambda: theirs.query_users(
            {"id": {"$in": wanted}}, limit=100, include_deactivated_users=True
        ),
    )
    payloads = [json.loads(call.query.pop("payload")) for call in (one, other)]
    assert payloads[0] == payloads[1]
    assert_equal(one, other)
    assert user_ids_in(ours.find_users(PAIR, wanted)) == set(USERS)
