"""
The state of a Stream app and the operations of its API, in memory.

Where Stream's documents allow several readings, this is the one that is hardest for the service: an
upsert replaces the whole user, including the cut-off; one invalid user fails the whole batch; a
cut-off is compared in whole seconds; a partial update does not create a user.
"""

import re
import threading
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from testing.doubles.stream_tokens import EXPIRED, Claims, StreamError, verify

MAX_USERS_PER_CALL = 100
DEFAULT_LIMIT = 30

QUEUE_SECRETS = {"sqs_secret": "canary-of-the-sqs-secret", "sns_secret": "canary-of-the-sns-secret"}
"""Secrets that the real `GET /app` shows too."""

_USER_ID = re.compile(r"[A-Za-z0-9@_-]{1,255}")
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_SERVER_ONLY = {"role", "teams", "teams_role", "banned", "revoke_tokens_issued_before"}
_ME = {
    "online": True,
    "banned": False,
    "invisible": False,
    "devices": [],
    "mutes": [],
    "channel_mutes": [],
    "unread_count": 0,
    "total_unread_count": 0,
    "unread_channels": 0,
    "unread_threads": 0,
    "language": "",
    "teams": [],
}
"""What a connection also says about its user."""
_PRIVACY = {"typing_indicators", "read_receipts", "delivery_receipts"}
_CUT_OFF = "revoke_tokens_issued_before"


class StreamApp:
    """
    One Stream app.

    Attributes:
        keys: Secrets by API key. A test adds and removes pairs.
        users: Users by ID, as Stream returns them.
        settings: Settings of the app, including its cut-off, as `GET /app` shows them. A test and
            `PATCH /app` switch them.
        unchangeable: IDs of users that cannot be changed or created (code 4).
        expired: Tokens that count as expired before their time (code 40).
    """

    def __init__(self, keys: Mapping[str, str], clock: Callable[[], float]) -> None:
        self.keys = dict(keys)
        self.users: dict[str, dict[str, Any]] = {}
        self.settings: dict[str, Any] = {
            "id": 4711,
            "name": "double",
            "organization": "tests",
            "disable_auth_checks": False,
            "disable_permissions_checks": False,
            "suspended": False,
            "guest_user_creation_disabled": False,
            _CUT_OFF: None,
            **QUEUE_SECRETS,
        }
        self.unchangeable: set[str] = set()
        self.expired: set[str] = set()
        self._clock = clock
        self._lock = threading.RLock()

    def timestamp(self, at: float | None = None) -> str:
        """Return a time in RFC 3339, by default the time of Stream's clock."""
        at = self._clock() if at is None else at
        return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")

    def authenticate(self, api_key: str, auth_type: str, token: str) -> Claims:
        """
        Check a call's credentials, in Stream's order.

        Raises:
            StreamError: 2, 5, 43, 40, 41, 42 or 16.
        """
        with self._lock:
            if api_key not in self.keys:
                raise StreamError(2, "api_key not valid")
            if auth_type != "jwt":
                raise StreamError(2, "stream-auth-type missing or invalid")
            secret = None if self.settings["disable_auth_checks"] else self.keys[api_key]
            claims = verify(token, api_key, secret, self._clock())
            if self.settings["suspended"] and not claims.server:
                raise StreamError(99, "the app is suspended")
            if token in self.expired:
                raise StreamError(40, EXPIRED)
            if not claims.server:
                self._refuse_revoked(claims)
                self._refuse_gone(claims.user_id)
            return claims

    def connect_user(self, claims: Claims, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Create or update the user of a connection. Return the `me` of the response."""
        if claims.server:
            raise StreamError(
                4, "Websocket connection with server side authentication isn't supported"
            )
        if payload.get("user_id") != claims.user_id:
            raise StreamError(5, "the user_id of the token is not the user that connects")
        details = payload.get("user_details")
        if not isinstance(details, dict) or details.get("id") != claims.user_id:
            raise StreamError(4, "user_details is a required field")
        _check_privacy(details.get("privacy_settings", {}))
        settable = {name: value for name, value in details.items() if name not in _SERVER_ONLY}
        with self._lock:
            known = self.users.get(details["id"], {})
            user = self._store({**known, **settable})
            return {**_ME, **user}

    def allows(self, user_id: str, setting: str) -> bool:
        """Return whether a member of a user's `privacy_settings` is on, as it is by default."""
        settings = self.users.get(user_id, {}).get("privacy_settings", {})
        return bool(settings.get(setting, {}).get("enabled", True))

    def upsert_users(self, claims: Claims, users: Any) -> dict[str, Any]:
        """Replace whole users. Fields that are not sent are removed."""
        if not isinstance(users, dict):
            raise StreamError(4, "users is a map by id")
        self._check_batch(list(users.values()))
        if any(user["id"] != user_id for user_id, user in users.items()):
            raise StreamError(4, "users is a map by id")
        if not claims.server and set(users) != {claims.user_id}:
            raise StreamError(17, "users can only update themselves")
        with self._lock:
            for user_id in users:
                self._refuse_gone(user_id)
            return {user_id: self._store(dict(user)) for user_id, user in users.items()}

    def patch_users(self, claims: Claims, updates: Any) -> dict[str, Any]:
        """Set and unset fields of existing users."""
        self._check_batch(updates)
        with self._lock:
            for update in updates:
                self._check_update(claims, update)
            return {update["id"]: self._patch(update) for update in updates}

    def patch_settings(self, claims: Claims, settings: Mapping[str, Any]) -> None:
        self.require_server(claims)
        _check_cut_off(settings)
        with self._lock:
            self.settings.update(settings)

    def query_users(self, query: Mapping[str, Any]) -> list[dict[str, Any]]:
        """
        Find users by id: `{}`, `{"id": x}`, `{"id": {"$eq": x}}` or `{"id": {"$in": [x]}}`.

        Return up to `limit` users (30 by default), deactivated ones only on request, and no deleted
        ones.
        """
        wanted = query.get("filter_conditions", {}).get("id")
        with self._lock:
            if wanted is not None and not isinstance(wanted, dict):
                wanted = {"$eq": wanted}
            ids = list(self.users) if wanted is None else wanted.get("$in") or [wanted.get("$eq")]
            excluded = {"deleted_at"}
            if not query.get("include_deactivated_users"):
                excluded.add("deactivated_at")
            found = [self.users[user_id] for user_id in ids if user_id in self.users]
            found = [user for user in found if not any(user.get(field) for field in excluded)]
            return found[: query.get("limit", DEFAULT_LIMIT)]

    def mark_user(self, claims: Claims, user_id: str, field: str, on: bool) -> dict[str, Any]:
        """Set or clear `deactivated_at` or `deleted_at`."""
        self.require_server(claims)
        with self._lock:
            if user_id not in self.users:
                raise StreamError(16, f"user {user_id!r} does not exist")
            self.users[user_id][field] = self.timestamp() if on else None
            return self.users[user_id]

    def delete_users(self, user_ids: list[str], *, hard: bool, again: Collection[str]) -> None:
        """
        Mark users as deleted.

        Args:
            hard: Whether to keep nothing else of them.
            again: Users who may be deleted already.
        """
        with self._lock:
            for user_id in user_ids:
                is_gone = self.users.get(user_id, {"deleted_at": "never"}).get("deleted_at")
                if is_gone and user_id not in again:
                    raise StreamError(16, f"user {user_id!r} does not exist")
            for user_id in user_ids:
                kept = {"id": user_id} if hard else self.users[user_id]
                self.users[user_id] = {**kept, "deleted_at": self.timestamp()}

    def require_server(self, claims: Claims) -> None:
        if not claims.server:
            raise StreamError(17, "only a server can do this")

    def _check_batch(self, users: Any) -> None:
        if not isinstance(users, list) or not 0 < len(users) <= MAX_USERS_PER_CALL:
            raise StreamError(4, f"users must contain 1 to {MAX_USERS_PER_CALL} items")
        for user in users:
            if not isinstance(user, dict) or not _USER_ID.fullmatch(str(user.get("id", ""))):
                raise StreamError(4, "a user ID can contain a-z, 0-9, @, _ and -")
            if user["id"] in self.unchangeable:
                raise StreamError(4, f"user {user['id']!r} cannot be changed")
            _check_cut_off(user)

    def _check_update(self, claims: Claims, update: Mapping[str, Any]) -> None:
        changed = {*update.get("set", {}), *update.get("unset", [])}
        if not claims.server and (update["id"] != claims.user_id or changed & _SERVER_ONLY):
            raise StreamError(17, f"User {claims.user_id!r} is not allowed to perform UpdateUser")
        _check_cut_off(update.get("set", {}))
        if self.users.get(update["id"], {"deleted_at": "never"}).get("deleted_at"):
            raise StreamError(16, f"user {update['id']!r} does not exist")

    def _patch(self, update: Mapping[str, Any]) -> dict[str, Any]:
        kept = {
            name: value
            for name, value in self.users[update["id"]].items()
            if name not in update.get("unset", [])
        }
        return self._store({**kept, **update.get("set", {})})

    def _store(self, user: dict[str, Any]) -> dict[str, Any]:
        created = self.users.get(user["id"], {}).get("created_at", self.timestamp())
        stored = {"role": "user", **user, "created_at": created, "updated_at": self.timestamp()}
        self.users[user["id"]] = stored
        return stored

    def _refuse_revoked(self, claims: Claims) -> None:
        assert claims.user_id is not None
        for source in (self.settings, self.users.get(claims.user_id, {})):
            cut_off = source.get(_CUT_OFF)
            if cut_off and (claims.iat is None or claims.iat < _whole_seconds(cut_off)):
                raise StreamError(40, "This token has been revoked, please generate a new token")

    def _refuse_gone(self, user_id: str | None) -> None:
        user = self.users.get(user_id or "", {})
        for field, word in (("deactivated_at", "deactivated"), ("deleted_at", "deleted")):
            if user.get(field):
                raise StreamError(16, f"the user {user_id!r} was {word}")


def _check_cut_off(fields: Mapping[str, Any]) -> None:
    cut_off = fields.get(_CUT_OFF)
    if cut_off is not None and not (isinstance(cut_off, str) and _RFC3339.fullmatch(cut_off)):
        raise StreamError(4, f"{_CUT_OFF} is not an RFC 3339 time")


def _check_privacy(settings: Any) -> None:
    valid = isinstance(settings, dict) and all(
        name in _PRIVACY and isinstance(value, dict) and type(value.get("enabled")) is bool
        for name, value in settings.items()
    )
    if not valid:
        raise StreamError(4, f'privacy_settings has {sorted(_PRIVACY)}, each {{"enabled": bool}}')


def _whole_seconds(rfc3339: str) -> int:
    return int(datetime.fromisoformat(rfc3339).timestamp())
