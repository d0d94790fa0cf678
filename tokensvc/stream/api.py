"""
The calls to Stream's server API, one a function.

The only caller of Stream. What an answer means is in `answers`; the token that a call carries never
leaves `wire`.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from tokensvc.core.clock import Clock
from tokensvc.stream.responses import (
    CallStatus,
    StreamResponse,
    check_found_users,
    check_written_users,
    error_text,
    plain,
    read,
    time_of,
)
from tokensvc.stream.wire import KeyPair, NotSentError, StreamUnavailableError, exchange

__all__ = [
    "AppIdentity",
    "CallStatus",
    "KeyCheck",
    "KeyPair",
    "StreamApi",
    "StreamResponse",
    "StreamUnavailableError",
    "check_key",
]

MAX_USERS = 100
"""In one call (Stream's OpenAPI, `UpdateUsersPartialRequest`)."""

MAX_IDS_LENGTH = 4000
"""Characters of the ids in one query: with what stands between them, an address of 6 KB at most."""

_CUT_OFF = "revoke_tokens_issued_before"


@dataclass(frozen=True, slots=True)
class AppIdentity:
    """
    What tells one Stream app from another.

    Attributes:
        id: Stream's number; `None` from the older form of `GET /app`, which has none.
        organization: Whose app it is. Not trusted text.
        name: Unlike any other of the organization. Not trusted text.
    """

    id: int | None
    organization: str
    name: str

    def is_same_as(self, other: "AppIdentity") -> bool:
        """Tell whether both are one app; what cannot be told is not the same."""
        if self.id is not None and other.id is not None:
            return self.id == other.id
        return bool(self.name) and (self.organization, self.name) == (
            other.organization,
            other.name,
        )


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """
    What Stream says to a key pair.

    Attributes:
        accepted: Whether the secret is the one of that API key.
        detail: The app's name, or Stream's code and message. Not trusted text.
        clock_ahead: Seconds by which our clock runs ahead of Stream's, good to about a second;
            `None` when Stream did not tell the time.
        app: Of the API key, if it is accepted.
    """

    accepted: bool
    detail: str
    clock_ahead: float | None
    app: AppIdentity | None = None


def check_key(*, base_url: str, api_key: str, secret: bytes, clock: Clock) -> KeyCheck:
    """
    Ask Stream whether it accepts a key pair, by `GET /app`.

    Args:
        base_url: Of Stream's API, without a path.
        api_key: Public.
        secret: The secret's UTF-8 bytes.
        clock: Compared with the `Date` of the answer.

    Raises:
        StreamUnavailableError: There is no verdict.
    """
    before = clock()
    answer = exchange(base_url, KeyPair(api_key, secret), "GET", "app")
    clock_ahead = _clock_ahead((before + clock()) / 2, answer.headers.get("Date"))
    content = answer.content or {}
    if answer.status == HTTPStatus.OK and isinstance(content.get("app"), dict):
        app = _identity(content["app"])
        detail = f"app {app.name or 'without a name'}"
        return KeyCheck(accepted=True, detail=detail, clock_ahead=clock_ahead, app=app)
    if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} and "code" in content:
        return KeyCheck(accepted=False, detail=error_text(content), clock_ahead=clock_ahead)
    raise StreamUnavailableError(f"GET /app was answered with status {answer.status}")


class StreamApi:
    """
    Stream's API as far as it is needed. Every method gives an `StreamResponse` and raises nothing.

    Args:
        base_url: Of Stream's API, without a path.
        clock: Stands in for Stream's, where an answer does not tell the time.
    """

    def __init__(self, base_url: str, clock: Clock) -> None:
        self._base_url = base_url
        self._clock = clock

    def set_app_cut_off(self, key: KeyPair, cut_off: int | None) -> StreamResponse:
        """Refuse everyone's tokens from before a cut-off (epoch seconds); `None` ends that."""
        return self._call(key, "PATCH", "app", body={_CUT_OFF: rfc3339(cut_off)})

    def set_cut_offs(self, key: KeyPair, cut_offs: Mapping[str, int | None]) -> StreamResponse:
        """Do the same for users that Stream has, by id; a single bad one spoils the call."""
        users = [
            {"id": user_id, "set": {_CUT_OFF: rfc3339(cut_off)}}
            for user_id, cut_off in cut_offs.items()
        ]
        answer = self._call(key, "PATCH", "users", body={"users": users})
        return check_written_users(answer, cut_offs)

    def find_users(self, key: KeyPair, user_ids: Collection[str]) -> StreamResponse:
        """
        Find those of some users that Stream has; `user_ids_in` reads the answer.

        Args:
            user_ids: As many as `portions` gives at once.
        """
        payload = {
            "filter_conditions": {"id": {"$in": list(user_ids)}},
            "sort": [],
            "limit": MAX_USERS,  # 30 unless it is said
            "include_deactivated_users": True,
        }
        query = {"payload": json.dumps(payload)}
        return check_found_users(self._call(key, "GET", "users", query=query))

    def create_users(self, key: KeyPair, users: Mapping[str, Mapping[str, Any]]) -> StreamResponse:
        """Write users whole, by id: what Stream held of one that it has after all is wiped."""
        written = {user_id: {"id": user_id, **user} for user_id, user in users.items()}
        return check_written_users(self._call(key, "POST", "users", body={"users": written}), users)

    def change_users(
        self, key: KeyPair, changes: Mapping[str, Mapping[str, Any]]
    ) -> StreamResponse:
        """Change users that Stream has: `{"set": {…}, "unset": […]}` by id."""
        users = [{"id": user_id, **change} for user_id, change in changes.items()]
        return check_written_users(
            self._call(key, "PATCH", "users", body={"users": users}), changes
        )

    def _call(
        self,
        key: KeyPair,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> StreamResponse:
        try:
            exchanged = exchange(self._base_url, key, method, path, query=query, body=body)
        except NotSentError as error:
            return StreamResponse(CallStatus.NOT_SENT, plain(str(error)))
        except StreamUnavailableError as error:
            return StreamResponse(CallStatus.UNKNOWN, plain(str(error)))
        return read(exchanged, self._clock())


def user_ids_in(answer: StreamResponse) -> frozenset[str]:
    """Give the ids of the users that were found."""
    return frozenset(user["id"] for user in answer.content["users"])


def rfc3339(seconds: int | None) -> str | None:
    """Write epoch seconds as Stream reads them: UTC, whole seconds."""
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _identity(app: Mapping[str, Any]) -> AppIdentity:
    number = app.get("id")
    return AppIdentity(
        id=number if isinstance(number, int) else None,
        organization=str(app.get("organization") or app.get("organization_name") or ""),
        name=str(app.get("name") or ""),
    )


def portions(user_ids: Collection[str]) -> Iterator[list[str]]:
    """Cut a list of ids into such as fit into the address of one query."""
    portion: list[str] = []
    for user_id in user_ids:
        if portion and sum(map(len, portion)) + len(user_id) > MAX_IDS_LENGTH:
            yield portion
            portion = []
        portion.append(user_id)
    yield portion


def _clock_ahead(now: float, date: str | None) -> float | None:
    """`Date` is cut to whole seconds (RFC 9110 section 5.6.7): on average half a second is lost."""
    stream_time = time_of(date)
    return None if stream_time is None else now - (stream_time + 0.5)
