"""The meaning of a response from Stream, or from a server in its place. Pure."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from tokensvc.net.http import HttpResponse
from tokensvc.stream.app import StreamApp

_LIMIT_DIGITS = 10

MAX_WAIT = 3600.0
"""Longest pause in seconds that a response can ask for."""

_DONE = frozenset({HTTPStatus.OK, HTTPStatus.CREATED})
_REFUSED = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT}
_CODE_RATE_LIMITED, _CODE_DOES_NOT_EXIST, _CODE_APP_SUSPENDED = 9, 16, 99
_KEY_CODES = frozenset({2, 5, 43})
"""API key not valid, token malformed, signature not valid."""


class CallStatus(StrEnum):
    """
    The effect of a call at Stream.

    Attributes:
        DONE: Stream has processed the request.
        RUNNING: A task of Stream works on the request, or a part of it is done.
        UNKNOWN: Stream may have processed the request, or may process it later. The response was
            lost, is an internal error of Stream, or comes from another server, such as a proxy.
        NOT_DELIVERED: The request was not sent, or Stream's rate limit refused it.
        KEY_REFUSED: Stream does not accept the key.
        REFUSED: Stream does not accept the content of the request.
        ABSENT: Stream does not have the user.
        NOT_ATTEMPTED: Stream was not called.

    `DONE`, `KEY_REFUSED`, `REFUSED` and `ABSENT` need a member that only Stream's responses have.
    The values are labels of a metric.
    """

    DONE = "done"
    RUNNING = "running"
    UNKNOWN = "unknown"
    NOT_DELIVERED = "not_delivered"
    KEY_REFUSED = "key_refused"
    REFUSED = "refused"
    ABSENT = "absent"
    NOT_ATTEMPTED = "not_attempted"

    @property
    def may_have_effect(self) -> bool:
        """Whether the request was processed or may be processed later."""
        return self in {CallStatus.DONE, CallStatus.UNKNOWN}

    @property
    def is_about_content(self) -> bool:
        """Whether Stream refused this request, and might accept a part of it."""
        return self in {CallStatus.REFUSED, CallStatus.ABSENT}


@dataclass(frozen=True, slots=True)
class StreamResponse:
    """
    The result of a call.

    Attributes:
        error: Description for operators. Untrusted text, without secrets.
        wait: Seconds that Stream wants to pass before the next call of this kind.
        replaces_users: Whether the call replaces users whole and may remove their cut-offs.
        content: JSON body of a `DONE` response.
        task: ID of the task, if it is `RUNNING`.
    """

    status: CallStatus
    error: str | None = None
    wait: float = 0.0
    replaces_users: bool = False
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)
    task: str | None = None


class StreamUnavailableError(Exception):
    """Stream neither accepted nor refused the key."""


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """
    Stream's response to a key.

    Attributes:
        accepted: Whether the secret belongs to the API key.
        detail: The app's name, or Stream's code and message. Untrusted text.
        clock_ahead: Seconds by which this host's clock is ahead of Stream's, accurate to about a
            second; `None` if the response has no `Date`.
        app: App of the API key, if the key is accepted.
        code: Stream's code, if the key is refused.
    """

    accepted: bool
    detail: str
    clock_ahead: float | None
    app: StreamApp | None = None
    code: int | None = None


def read_response(response: HttpResponse, now: float) -> StreamResponse:
    """
    Return the meaning of an HTTP response.

    Args:
        now: Epoch seconds, used if the response has no `Date`.
    """
    content = json_object(response.body)
    wait = _wait(response.headers, now)
    if response.status in _DONE and isinstance(content.get("duration"), str):
        return StreamResponse(CallStatus.DONE, wait=wait, content=content)
    code = content.get("code")
    if not isinstance(code, int):
        text = f"status {response.status}: the response is not from Stream"
        return StreamResponse(CallStatus.UNKNOWN, text, wait)
    return StreamResponse(_status(response.status, code), error_text(content), wait)


def _status(status: int, code: int) -> CallStatus:
    if status not in _REFUSED:
        return CallStatus.UNKNOWN
    if rejects_key(status, code) or code == _CODE_APP_SUSPENDED:
        return CallStatus.KEY_REFUSED
    if status == HTTPStatus.TOO_MANY_REQUESTS or code == _CODE_RATE_LIMITED:
        return CallStatus.NOT_DELIVERED
    return CallStatus.ABSENT if code == _CODE_DOES_NOT_EXIST else CallStatus.REFUSED


def rejects_key(status: int, code: object) -> bool:
    """
    Return whether a response says that the key is wrong.

    Args:
        status: HTTP status.
        code: Stream's code. Without one the response is from another server.
    """
    # Not every 403: with code 17 the action is not allowed, with 99 the app is suspended.
    return isinstance(code, int) and (status == HTTPStatus.UNAUTHORIZED or code in _KEY_CODES)


def check_written_users(response: StreamResponse, user_ids: Collection[str]) -> StreamResponse:
    """Return the response; its status becomes `UNKNOWN` if a written user is missing from it."""
    users = response.content.get("users")
    return _require(response, isinstance(users, dict) and users.keys() >= set(user_ids))


def check_found_users(response: StreamResponse) -> StreamResponse:
    """Return the response; its status becomes `UNKNOWN` if it has no list of users."""
    return _require(response, _has_ids(response.content.get("users")))


def check_devices(response: StreamResponse) -> StreamResponse:
    """
    Return the response; its status becomes `UNKNOWN` if `devices` is not a list of devices.

    It may be missing or `null`: Stream's SDKs allow that for a user without devices.
    """
    return _require(response, _has_ids(response.content.get("devices") or []), "`devices`")


def _has_ids(items: object) -> bool:
    return isinstance(items, list) and all(
        isinstance(item, dict) and isinstance(item.get("id"), str) for item in items
    )


def check_member(response: StreamResponse, name: str) -> StreamResponse:
    """Return the response; its status becomes `UNKNOWN` if it lacks a text."""
    return _require(response, isinstance(response.content.get(name), str), f"`{name}`")


def _require(
    response: StreamResponse, is_valid: bool, what: str = "the users that Stream returns"
) -> StreamResponse:
    if is_valid or response.status is not CallStatus.DONE:
        return response
    error = f"a successful response without {what}"
    return replace(response, status=CallStatus.UNKNOWN, error=error, content={})


def json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in a body; an empty one for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def error_text(content: Mapping[str, Any]) -> str:
    """Return Stream's code and message, for operators."""
    return printable(f"code {content.get('code')}: {content.get('message', '')}")


def printable(text: str) -> str:
    """Return at most 300 characters of a text that a database can store and a terminal show."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:300])


def _wait(headers: Mapping[str, str], now: float) -> float:
    """Return the pause that `Retry-After` or a used-up rate limit asks for, in seconds."""
    now = http_date(headers.get("Date")) or now
    waits = [0.0]
    retry_after = headers.get("Retry-After", "")
    if retry_after.isdecimal():
        waits.append(float(retry_after))
    elif (date := http_date(retry_after)) is not None:
        waits.append(date - now)
    reset = headers.get("X-RateLimit-Reset", "")
    if headers.get("X-RateLimit-Remaining") == "0" and reset.isdecimal():
        waits.append(float(reset) - now)
    return min(max(waits), MAX_WAIT)


def rate_limit(headers: Mapping[str, str]) -> int | None:
    """Return Stream's limit of calls in a minute to the endpoint of a response."""
    text = headers.get("X-RateLimit-Limit", "")
    limit = int(text) if text.isdecimal() and len(text) < _LIMIT_DIGITS else 0
    return limit or None


def http_date(date: str | None) -> float | None:
    """Return the epoch seconds of an HTTP date, or `None` if it is not one."""
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):  # the second for a year of many digits
        return None
