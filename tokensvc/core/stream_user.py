"""
Checks of the user object for `connectUser`.

Sources: Stream's "Initialization & Users" (an `id`, less than 5 KB, `privacy_settings`), Stream's
OpenAPI `UserRequest` (server-only members).
"""

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from tokensvc.core.errors import Code, Refusal
from tokensvc.core.scopes import Scope

MAX_BYTES = 5 * 1024 - 1
"""Maximum size of compact UTF-8 JSON: "less than 5KB"."""

SERVER_ONLY = frozenset(
    {
        "ban_expires",
        "banned",
        "channel_mutes",
        "channel_roles",
        "created_at",
        "deactivated_at",
        "deleted_at",
        "devices",
        "last_active",
        "mutes",
        "online",
        "revoke_tokens_issued_before",
        "role",
        "shadow_banned",
        "teams",
        "teams_role",
        "total_unread_count",
        "unread_channels",
        "unread_count",
        "unread_threads",
        "updated_at",
    }
)
"""Members that a client cannot set: Stream ignores or rejects them."""

_PRIVACY_SETTINGS = ("typing_indicators", "read_receipts", "delivery_receipts")


SET_BY_REVOCATIONS = frozenset({"revoke_tokens_issued_before"})

_ROLES = frozenset({"channel_roles", "role", "teams", "teams_role"})
"""Members that decide what a user may do at Stream."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def letters_of(name: str) -> str:
    """Return the letters and digits of a name, without its case."""
    return "".join(filter(str.isalnum, name.casefold()))


_SPELLINGS = {letters_of(name): name for name in {"id", "privacy_settings", *SERVER_ONLY}}
"""Members with a meaning for Stream or for these checks, by their letters and digits."""


def check(user: Mapping[str, Any], user_id: str, *, by_server: bool = False) -> None:
    """
    Refuse a user object that Stream would not accept for `user_id`.

    Args:
        user: The object.
        user_id: Expected `id`.
        by_server: Whether a server sends it, which may set more members than a client.

    Raises:
        Refusal: `user_id_mismatch` for another user's object, else `user_invalid`.
    """
    if not isinstance(user.get("id"), str):
        raise Refusal(Code.USER_INVALID, "`user.id` must be the user ID, a string.")
    if user["id"] != user_id:
        raise Refusal(
            Code.USER_ID_MISMATCH,
            "`user.id` differs from the user ID of the token: make them equal.",
        )
    for name in user:
        check_name(name)
    forbidden = sorted(user.keys() & (SET_BY_REVOCATIONS if by_server else SERVER_ONLY))
    if forbidden:
        who = "Only a revocation" if by_server else "Only a server"
        raise Refusal(
            Code.USER_INVALID,
            f"{who} may set {', '.join(forbidden)}: leave it out of `user`.",
        )
    _check_privacy_settings(user.get("privacy_settings", {}))
    size = len(json.dumps(user, ensure_ascii=False, separators=(",", ":")).encode("utf-8"))
    if size > MAX_BYTES:
        raise Refusal(
            Code.USER_INVALID,
            f"`user` has {size} bytes of JSON: shorten it to at most {MAX_BYTES}.",
        )


def check_name(name: str) -> None:
    """
    Refuse the name of a member that Stream could read as another one.

    A decoder that ignores case reads `ID` as `id`, as Go's does, in which Stream is written. In a
    partial update Stream reads `role.x` as a path into `role`.

    Raises:
        Refusal: `user_invalid`.
    """
    if not _NAME.fullmatch(name):
        raise Refusal(
            Code.USER_INVALID,
            f"Rename the member {json.dumps(name[:64])} of `user`: a name has 1 to 64 of A-Z, a-z, "
            "0-9, `_` and `-`.",
        )
    meant = _SPELLINGS.get(letters_of(name), name)
    if meant != name:
        raise Refusal(
            Code.USER_INVALID,
            f"Rename the member `{name}` of `user`: Stream could read it as `{meant}`.",
        )


def is_name(name: str) -> bool:
    """Return whether `check_name` accepts a name."""
    try:
        check_name(name)
    except Refusal:
        return False
    return True


def check_role_scope(user: Mapping[str, Any], scopes: Collection[str]) -> None:
    """
    Refuse a profile with roles or teams from a service that may not set them.

    Args:
        user: The object.
        scopes: Scopes of the service.

    Raises:
        Refusal: `insufficient_scope`.
    """
    found = sorted(user.keys() & _ROLES)
    if found and Scope.USERS_ROLES not in scopes:
        members = ", ".join(f"`{name}`" for name in found)
        raise Refusal(
            Code.INSUFFICIENT_SCOPE,
            f"Setting {members} needs the scope {Scope.USERS_ROLES} in addition to "
            f"{Scope.USERS_WRITE}.",
            reason=f"scope {Scope.USERS_ROLES} is missing for {', '.join(found)}",
        )


def _check_privacy_settings(settings: object) -> None:
    names = ", ".join(_PRIVACY_SETTINGS)
    if not isinstance(settings, dict) or not set(settings) <= set(_PRIVACY_SETTINGS):
        raise Refusal(Code.USER_INVALID, f"`user.privacy_settings` may contain only {names}.")
    for name, setting in settings.items():
        if not (
            isinstance(setting, dict)
            and set(setting) == {"enabled"}
            and isinstance(setting["enabled"], bool)
        ):
            raise Refusal(
                Code.USER_INVALID,
                f'`user.privacy_settings.{name}` is {{"enabled": true}} or {{"enabled": false}}.',
            )
