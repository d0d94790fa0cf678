"""
The calls to Stream's server API, one function per call.

`responses` contains the meaning of a response. The token that a call carries never leaves `wire`.
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tokensvc.core.clock import Clock
from tokensvc.net.http import NoResponseError, NotSentError
from tokensvc.stream.app import read_app
from tokensvc.stream.keys.rules import StreamKey
from tokensvc.stream.responses import (
    CallStatus,
    KeyCheck,
    StreamResponse,
    StreamUnavailableError,
    check_devices,
    check_found_users,
    check_member,
    check_written_users,
    error_text,
    http_date,
    json_object,
    printable,
    rate_limit,
    read_response,
    rejects_key,
)
from tokensvc.stream.wire import send

MAX_USERS = 100
"""Users in one call (Stream's OpenAPI, `UpdateUsersPartialRequest`)."""

HINT = "tokensvc_check"
"""
Type of the event that asks a user's clients to check their access.

It is no order: any client can send an event of this type in a channel.
"""

_MAX_IDS_LENGTH = 4000
"""Characters of the ids in one query: with the separators, the URL stays below 6 KB."""

HINT_ENDPOINT = "POST /users/*/event"
"""Endpoint of hints in `LIMITS`: the path has a user ID."""

LIMITS = {
    "PATCH /app": 60,
    "PATCH /users": 300,
    "POST /users": 300,
    "GET /users": 1000,
    "POST /users/delete": 60,
    HINT_ENDPOINT: 60,
    "GET /devices": 60,
    "DELETE /devices": 60,
}
"""
Calls in a minute until a response to a call states the app's limit: those that Stream documents.

It documents nothing about hints.
"""

_LOWEST_LIMIT = 60

TASK_DONE: Final = "completed"
TASK_FAILED: Final = "failed"
"""Last states of a task of Stream. In each other state it is asked again."""

_CUT_OFF = "revoke_tokens_issued_before"


def check_key(base_url: str, key: StreamKey, clock: Clock) -> KeyCheck:
    """
    Check by `GET /app` whether Stream accepts a key.

    Args:
        base_url: URL of Stream's API, without a path.
        clock: This host's clock, compared with the `Date` of the response.

    Raises:
        StreamUnavailableError: Stream neither accepted nor refused the key.
    """
    host, before = urlsplit(base_url).hostname, clock()
    try:
        response = send(base_url, key, "GET", "app")
    except NoResponseError as error:
        reason = printable(str(error))
        raise StreamUnavailableError(f"cannot reach {host} ({reason})") from error
    clock_ahead = _clock_ahead((before + clock()) / 2, response.headers.get("Date"))
    unreadable = ""
    if response.status == HTTPStatus.OK:
        try:
            app = read_app(response.body)
        except ValueError as error:
            unreadable = f" without a readable app ({error})"
        else:
            detail = f"app {app.name or 'without a name'}"
            return KeyCheck(accepted=True, detail=detail, clock_ahead=clock_ahead, app=app)
    content = json_object(response.body)
    if rejects_key(response.status, content.get("code")):
        return KeyCheck(
            accepted=False,
            detail=error_text(content),
            clock_ahead=clock_ahead,
            code=content["code"],
        )
    # Without Stream's message: it names the API key, which may be a secret in the wrong place.
    code = f", code {content['code']}" if isinstance(content.get("code"), int) else ""
    raise StreamUnavailableError(f"{host} returned status {response.status}{code}{unreadable}")


class StreamApi:
    """
    The part of Stream's API that the service needs. The methods raise nothing.

    Args:
        base_url: URL of Stream's API, without a path.
        clock: This host's clock, used if a response has no `Date`.
        key_refused: Function to call after a call whose key Stream refuses.
        erasure: What Stream deletes of a user, and how, by the members of its API.
    """

    def __init__(
        self,
        base_url: str,
        clock: Clock,
        key_refused: Callable[[], None] = lambda: None,
        erasure: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._base_url = base_url
        self._clock = clock
        self._key_refused = key_refused
        self._erasure = erasure
        self._limits = dict(LIMITS)

    def limit_of(self, endpoint: str) -> int:
        """Return the calls in a minute that Stream allows to an endpoint: method and path."""
        return self._limits.get(endpoint, _LOWEST_LIMIT)

    def set_app_cut_off(self, key: StreamKey, cut_off: int | None) -> StreamResponse:
        """Refuse all tokens from before a cut-off in epoch seconds; `None` removes it."""
        return self._call(key, "PATCH", "app", body={_CUT_OFF: rfc3339(cut_off)})

    def set_cut_offs(self, key: StreamKey, cut_offs: Mapping[str, int | None]) -> StreamResponse:
        """Set cut-offs of existing users by id. One invalid user makes Stream refuse the call."""
        changes = {
            user_id: {"set": {_CUT_OFF: rfc3339(cut_off)}} for user_id, cut_off in cut_offs.items()
        }
        return self.change_users(key, changes)

    def find_users(self, key: StreamKey, user_ids: Collection[str]) -> StreamResponse:
        """
        Find existing users; `user_ids_in` reads the response.

        Args:
            user_ids: IDs, no more than `fitting_ids` returns.
        """
        payload = {
            "filter_conditions": {"id": {"$in": list(user_ids)}},
            "sort": [],
            "limit": MAX_USERS,  # Stream's default is 30
            "include_deactivated_users": True,
        }
        query = {"payload": json.dumps(payload)}
        return check_found_users(self._call(key, "GET", "users", query=query))

    def create_users(
        self, key: StreamKey, users: Mapping[str, Mapping[str, Any]]
    ) -> StreamResponse:
        """Create users by id. A user that exists already is replaced whole."""
        written = {user_id: {"id": user_id, **user} for user_id, user in users.items()}
        response = self._call(key, "POST", "users", body={"users": written})
        return replace(check_written_users(response, users), replaces_users=True)

    def change_users(
        self, key: StreamKey, changes: Mapping[str, Mapping[str, Any]]
    ) -> StreamResponse:
        """Change existing users: `{"set": {…}, "unset": […]}` by id."""
        users = [{"id": user_id, **change} for user_id, change in changes.items()]
        response = self._call(key, "PATCH", "users", body={"users": users})
        return check_written_users(response, changes)

    def delete_users(self, key: StreamKey, user_ids: Collection[str]) -> StreamResponse:
        """
        Delete users in a task, whose ID is `task_id`. Stream refuses them at once.

        A user whom Stream does not have makes it refuse the call.
        """
        body = {"user_ids": list(user_ids), **self._erasure}
        return check_member(self._call(key, "POST", "users/delete", body=body), "task_id")

    def read_task(self, key: StreamKey, task: str) -> StreamResponse:
        """Read the `status` and the `error` of a task."""
        path = f"tasks/{quote(task, safe='')}"
        return check_member(self._call(key, "GET", path), "status")

    def send_hint(self, key: StreamKey, user_id: str) -> StreamResponse:
        """Send the event `HINT` to all connected clients of a user."""
        path = f"users/{quote(user_id, safe='')}/event"
        return self._call(key, "POST", path, body={"event": {"type": HINT}}, endpoint=HINT_ENDPOINT)

    def list_devices(self, key: StreamKey, user_id: str) -> StreamResponse:
        """List the devices of a user; `device_ids_in` reads the response."""
        query = {"user_id": user_id}
        return check_devices(self._call(key, "GET", "devices", query=query))

    def delete_device(self, key: StreamKey, user_id: str, device_id: str) -> StreamResponse:
        """Remove a device of a user, so that it gets no push notifications."""
        try:
            device_id.encode()
        except UnicodeEncodeError:  # JSON can have half a surrogate pair, a URL cannot
            return StreamResponse(CallStatus.REFUSED, "the ID of a device is not Unicode text")
        query = {"user_id": user_id, "id": device_id}
        return self._call(key, "DELETE", "devices", query=query)

    def _call(
        self,
        key: StreamKey,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> StreamResponse:
        try:
            response = send(self._base_url, key, method, path, query=query, body=body)
        except NotSentError as error:
            return StreamResponse(CallStatus.NOT_DELIVERED, printable(str(error)))
        except NoResponseError as error:
            return StreamResponse(CallStatus.UNKNOWN, printable(str(error)))
        endpoint, limit = endpoint or f"{method} /{path}", rate_limit(response.headers)
        if limit is not None and endpoint in self._limits:  # a path may have a user ID
            self._limits[endpoint] = limit
        result = read_response(response, self._clock())
        if result.status is CallStatus.KEY_REFUSED:
            self._key_refused()
        return result


def user_ids_in(response: StreamResponse) -> frozenset[str]:
    """Return the ids of the users that `find_users` found."""
    return frozenset(user["id"] for user in response.content["users"])


def device_ids_in(response: StreamResponse) -> list[str]:
    """Return the ids of the devices that `list_devices` found."""
    return [device["id"] for device in response.content.get("devices") or ()]


def fitting_ids(user_ids: Collection[str]) -> list[str]:
    """Return the first of some ids, as many as fit into the URL of one query."""
    fitting: list[str] = []
    length = 0
    for user_id in user_ids:
        length += len(user_id)
        if fitting and length > _MAX_IDS_LENGTH:
            break
        fitting.append(user_id)
    return fitting


def rfc3339(seconds: int | None) -> str | None:
    """Return epoch seconds in the form that Stream reads: UTC, whole seconds."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _clock_ahead(now: float, date: str | None) -> float | None:
    """`Date` has whole seconds (RFC 9110 section 5.6.7): on average half a second is cut off."""
    stream_time = http_date(date)
    return None if stream_time is None else now - (stream_time + 0.5)
