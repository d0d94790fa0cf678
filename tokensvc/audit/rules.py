"""What an audit event says. No token and no secret is ever in one."""

from enum import StrEnum

import msgspec

DONE = "ok"
"""The outcome of every event: what was refused is in the log."""


class Action(StrEnum):
    """What happened: the kind of thing, then what was done to it."""

    USER_REVOKED = "user:revoked"
    USER_REVOCATION_UNDONE = "user:revocation_undone"
    USER_SUSPENDED = "user:suspended"
    USER_REINSTATED = "user:reinstated"
    APP_REVOKED = "app:revoked"
    APP_REVOCATION_UNDONE = "app:revocation_undone"
    PROFILE_SET = "profile:set"
    DELIVERY_RETRIED = "delivery:retried"
    STREAM_KEY_ADDED = "stream_key:added"
    STREAM_KEY_ACTIVATED = "stream_key:activated"
    STREAM_KEY_RETIRING = "stream_key:retiring"
    STREAM_KEY_RETIRED = "stream_key:retired"
    SECRETS_REENCRYPTED = "secrets:reencrypted"
    CLIENT_CREATED = "client:created"
    CLIENT_CHANGED = "client:changed"
    CLIENT_DELETED = "client:deleted"
    CLIENT_SECRET_ADDED = "client_secret:added"  # noqa: S105 - the name of an event
    CLIENT_SECRET_DELETED = "client_secret:deleted"  # noqa: S105 - the name of an event
    TOKEN_MINTED = "token:minted"  # noqa: S105 - the name of an event
    AUDIT_PURGED = "audit:purged"


def event_id(now: float, serial: int, random_hex: str) -> str:
    """
    Give an id that sorts by time.

    Args:
        now: Epoch seconds.
        serial: Orders what one process does within a millisecond.
        random_hex: Eight digits.
    """
    return f"{first_id_at(now)}{serial & 0xFFFF:04x}{random_hex}"


def first_id_at(now: float) -> str:
    """Give what sorts before every id of that time and later, and behind every earlier one."""
    return f"evt_{int(now * 1000):012x}"


class AuditEvent(msgspec.Struct, frozen=True):
    """
    One event of the audit trail.

    Attributes:
        id: ID of the event. IDs sort by time.
        time: Time of the event, in epoch seconds.
        actor: Client ID, user ID, `cli:` and the operator's login, or `service:` and a part of this
            service.
        action: Machine name of the action, such as `user:suspended`.
        subject: User ID, `app`, or the ID of a client, secret or key, or words of the action.
        outcome: Result of the action: `ok`.
        request_id: ID of the request, or `null` for a command.
        reason: Reason in the actor's words.
    """

    id: str
    time: int
    actor: str
    action: str
    subject: str
    outcome: str
    request_id: str | None
    reason: str | None
