"""Requests of the service equal those of Stream's Python SDK."""

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
from tokensvc.stream.api import StreamApi, rfc3339, user_ids_in
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.keys.states import KeyState
from tokensvc.stream.responses import CallStatus, StreamResponse

CUT_OFFS = [None, 0, 1_700_000_000, 1_767_323_045, 4_102_444_799]
A_KEY = StreamKey(STREAM_API_KEY, STREAM_API_SECRET.encode(), KeyState.ACTIVE)
USERS = ["ada", "bob@x", "e-v_e"]
FIELDS = ("authorization", "stream-auth-type")


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as double:
        double.app.users = {user_id: {"id": user_id} for user_id in USERS}
        yield double


@pytest.fixture
def service(stream: StreamDouble) -> StreamApi:
    return StreamApi(stream.url, system_clock)


@pytest.fixture
def sdk(stream: StreamDouble) -> StreamChat:
    return StreamChat(STREAM_API_KEY, STREAM_API_SECRET, base_url=stream.url)


def sent(stream: StreamDouble, call: Callable[[], Any]) -> Call:
    """Return the only request of a call. The double must accept it."""
    stream.calls.clear()
    response = call()
    if isinstance(response, StreamResponse):
        assert response.status is CallStatus.DONE
    (request,) = stream.calls.all()
    assert request.status in {200, 201}
    return request


def assert_equal(first: Call, second: Call) -> None:
    """Compare two requests field by field."""
    assert (first.method, first.path, first.query) == (second.method, second.path, second.query)
    for name in FIELDS:
        assert first.headers[name] == second.headers[name], name
    assert bool(first.body) == bool(second.body)
    if first.body:
        assert first.headers["content-type"] == second.headers["content-type"]
        assert first.json == second.json


@pytest.mark.parametrize("cut_off", CUT_OFFS)
def test_user_cut_offs_equal_the_sdk(
    stream: StreamDouble, service: StreamApi, sdk: StreamChat, cut_off: int | None
) -> None:
    """`revoke_users_token` with the same time, or null for an undo."""
    assert_equal(
        sent(stream, lambda: service.set_cut_offs(A_KEY, dict.fromkeys(USERS, cut_off))),
        sent(stream, lambda: sdk.revoke_users_token(USERS, rfc3339(cut_off))),
    )


@pytest.mark.parametrize("cut_off", CUT_OFFS)
def test_app_cut_off_equals_the_sdk(
    stream: StreamDouble, service: StreamApi, sdk: StreamChat, cut_off: int | None
) -> None:
    """`revoke_tokens` with the same time, or null for an undo."""
    assert_equal(
        sent(stream, lambda: service.set_app_cut_off(A_KEY, cut_off)),
        sent(stream, lambda: sdk.revoke_tokens(rfc3339(cut_off))),
    )


@pytest.mark.parametrize("cut_off", [cut_off for cut_off in CUT_OFFS if cut_off is not None])
def test_cut_off_equals_the_time_of_an_sdk_datetime(
    stream: StreamDouble, service: StreamApi, sdk: StreamChat, cut_off: int
) -> None:
    """Only the format differs."""
    moment = datetime.fromtimestamp(cut_off, UTC)
    first = sent(stream, lambda: service.set_cut_offs(A_KEY, {"ada": cut_off})).json
    second = sent(stream, lambda: sdk.revoke_user_token("ada", moment)).json
    for body in (first, second):
        (user,) = body["users"]
        written = user["set"].pop("revoke_tokens_issued_before")
        assert datetime.fromisoformat(written) == moment
    assert first == second


def test_profiles_equal_the_sdk(stream: StreamDouble, service: StreamApi, sdk: StreamChat) -> None:
    """`upsert_users` for new users, `update_users_partial` for existing ones."""
    new = {"new-1": {"name": "N"}, "new-2": {"role": "admin", "teams": ["red"]}}
    assert_equal(
        sent(stream, lambda: service.create_users(A_KEY, new)),
        sent(
            stream,
            lambda: sdk.upsert_users([{"id": user_id, **new[user_id]} for user_id in new]),
        ),
    )
    changes = {"ada": {"set": {"name": "A"}, "unset": ["color"]}, "bob@x": {"set": {}}}
    assert_equal(
        sent(stream, lambda: service.change_users(A_KEY, changes)),
        sent(
            stream,
            lambda: sdk.update_users_partial(
                [{"id": user_id, **changes[user_id]} for user_id in changes]
            ),
        ),
    )


def test_query_equals_the_sdk(stream: StreamDouble, service: StreamApi, sdk: StreamChat) -> None:
    """`query_users` by ID, a hundred at a time, including deactivated ones."""
    wanted = [*USERS, "missing"]
    first = sent(stream, lambda: service.find_users(A_KEY, wanted))
    second = sent(
        stream,
        lambda: sdk.query_users({"id": {"$in": wanted}}, limit=100, include_deactivated_users=True),
    )
    payloads = [json.loads(call.query.pop("payload")) for call in (first, second)]
    assert payloads[0] == payloads[1]
    assert_equal(first, second)
    assert user_ids_in(service.find_users(A_KEY, wanted)) == set(USERS)


def test_deletion_and_its_task_equal_the_sdk(stream: StreamDouble, sdk: StreamChat) -> None:
    """`delete_users`, and `get_task` until it is completed."""
    modes = {"user": "hard", "messages": "hard", "conversations": "hard"}
    service = StreamApi(stream.url, system_clock, erasure=modes)
    first = sent(stream, lambda: service.delete_users(A_KEY, ["ada"]))
    second = sent(
        stream, lambda: sdk.delete_users(["bob@x"], "hard", messages="hard", conversations="hard")
    )
    assert first.json == {**second.json, "user_ids": ["ada"]}
    first.body = second.body = b""
    assert_equal(first, second)
    read = sent(stream, lambda: service.read_task(A_KEY, "task-2"))
    assert_equal(read, sent(stream, lambda: sdk.get_task("task-2")))
    assert service.read_task(A_KEY, "task-2").content["status"] == "completed"
