"""The members of an audit event. It never contains a token or a secret."""

from enum import StrEnum
from typing import TypeAlias

import msgspec

Details: TypeAlias = dict[str, str | int | bool | list[str]]
"""What an event tells of its action in addition: IDs, times and rights."""

DONE = "ok"
REFUSED = "refused"
"""
Outcome of a failed sign-in and of a replayed refresh token. Other refused requests are in the log
only.
"""


class Action(StrEnum):
    """Machine name of an action: the kind of its subject, then the verb."""

    USER_REVOKED = "user:revoked"
    USER_REVOCATION_UNDONE = "user:revocation_undone"
    USER_SUSPENDED = "user:suspended"
    USER_REINSTATED = "user:reinstated"
    USER_RENEWED = "user:renewed"
    USER_ERASED = "user:erased"
    USER_ERASURE_DONE = "user:erasure_done"
    PROVIDER_SESSION_ENDED = "provider_session:ended"
    APP_REVOKED = "app:revoked"
    APP_REVOCATION_UNDONE = "app:revocation_undone"
    USER_FLOOR_LOWERED = "user:floor_lowered"
    APP_FLOOR_LOWERED = "app:floor_lowered"
    PROFILE_SET = "profile:set"
    DELIVERY_RETRIED = "delivery:retried"
    STREAM_KEY_ADDED = "stream_key:added"
    STREAM_KEY_ACTIVATED = "stream_key:activated"
    STREAM_KEY_RETIRING = "stream_key:retiring"
    STREAM_KEY_RETIRED = "stream_key:retired"
    SIGNING_KEY_ADDED = "signing_key:added"
    SIGNING_KEY_ACTIVATED = "signing_key:activated"
    SIGNING_KEY_RETIRING = "signing_key:retiring"
    SIGNING_KEY_RETIRED = "signing_key:retired"
    SECRETS_REENCRYPTED = "secrets:reencrypted"
    CLIENT_CREATED = "client:created"
    CLIENT_CHANGED = "client:changed"
    CLIENT_DELETED = "client:deleted"
    CLIENT_SECRET_ADDED = "client_secret:added"  # noqa: S105 - the name of an event
    CLIENT_SECRET_DELETED = "client_secret:deleted"  # noqa: S105 - the name of an event
    ACCOUNT_CREATED = "account:created"
    ACCOUNT_IMPORTED = "account:imported"
    ACCOUNTS_EXPORTED = "accounts:exported"
    ACCOUNT_DELETED = "account:deleted"
    ACCOUNT_UNLOCKED = "account:unlocked"
    SIGN_UP_REOPENED = "sign_up:reopened"
    INVITATION_CREATED = "invitation:created"
    INVITATION_WITHDRAWN = "invitation:withdrawn"
    RESET_CODE_CREATED = "reset_code:created"
    PASSWORD_RESET = "password:reset"  # noqa: S105 - the name of an event
    ACCOUNT_SIGNED_IN = "account:signed_in"
    ACCOUNT_LOCKED = "account:locked"
    PASSWORD_CHANGED = "password:changed"  # noqa: S105 - the name of an event
    SESSION_REFRESHED = "session:refreshed"
    SESSION_PREDECESSOR_USED = "session:predecessor_used"
    SESSION_REPLAYED = "session:replayed"
    SESSION_ENDED = "session:ended"
    TOKEN_MINTED = "token:minted"  # noqa: S105 - the name of an event
    AUDIT_PURGED = "audit:purged"
    DATABASE_RESTORED = "database:restored"


def event_id(now: float, serial: int, random_hex: str) -> str:
    """
    Return an ID that sorts by time.

    Args:
        serial: Number that orders the events of one process within a millisecond.
        random_hex: Eight random hexadecimal digits.
    """
    return f"{first_id_at(now)}{serial & 0xFFFF:04x}{random_hex}"


def first_id_at(now: float) -> str:
    """Return the lower bound of the IDs of a time: earlier IDs sort before it."""
    return f"evt_{int(now * 1000):012x}"


class AuditEvent(msgspec.Struct, frozen=True):
    """
    One event of the audit trail.

    Attributes:
        id: ID of the event. IDs sort by time.
        time: Time of the event, in epoch seconds.
        actor: Client ID, user ID, `cli:` and the operator's system user, `issuer:` and the name of
            an identity provider, or `service:` and a part of this service. White space and control
            characters are escaped.
        action: Machine name of the action, such as `user:suspended`.
        subject: ID of the user, client, secret or key that was changed, `app` for all users, or a
            fixed name such as `audit` or `delivery:due`. For a sign-in with an unknown user ID,
            `unknown:` and a keyed hash of the ID.
        outcome: Result of the action: `ok`, or `refused` for a failed sign-in or a replayed refresh
            token.
        request_id: ID of the request, or `null` for a command.
        reason: Reason in the actor's words. In an event from before the first release it can have
            facts.
        details: Facts of the action, such as the cut-off and the ID of a revocation, the rights of
            a client, a session or the cause of a refusal; `null` without any. A restore from a
            backup uses some of them to apply the action again.
    """

    id: str
    time: int
    actor: str
    action: str
    subject: str
    outcome: str
    request_id: str | None
    reason: str | None
    details: Details | None
