"""The scopes of service clients."""

from collections.abc import Iterable
from enum import StrEnum

from tokensvc.core.errors import Code, Refusal


class Scope(StrEnum):
    """A permission for one kind of request."""

    TOKENS_MINT = "tokens:mint"
    """Get a token for any user. A client that has it can act as every user."""
    USERS_READ = "users:read"
    """Read the state of users and of the app, which includes who is suspended and why."""
    USERS_WRITE = "users:write"
    """Change any user's profile at Stream, such as the name that others see."""
    USERS_ROLES = "users:roles"
    """Set `role`, `teams` and the like in profiles: make any user an administrator at Stream."""
    USERS_ERASE = "users:erase"
    """Erase any user, here and at Stream, with all messages. Nothing ends that."""
    ACCOUNTS_WRITE = "accounts:write"
    """
    Invite new users, unlock and delete accounts. With `tokens:mint` also invite a user by ID and
    create reset codes, each of which gives its holder a session of that user.
    """
    REVOCATIONS_WRITE = "revocations:write"
    """Sign out, renew, suspend and reinstate any user, and undo revocations."""
    APP_WRITE = "app:write"
    """Sign out all users, and undo that."""
    KEYS_WRITE = "keys:write"
    """Add, activate and retire keys: a wrong step stops all mints."""
    CLIENTS_WRITE = "clients:write"
    """Create, change and delete clients that have no more rights than the caller."""
    AUDIT_READ = "audit:read"
    """Read the audit trail: who did what to whom."""


SCOPES = frozenset(scope.value for scope in Scope)


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """
    Return scopes as a set.

    Raises:
        Refusal: `malformed_request`: the set is empty or has an unknown scope.
    """
    wanted = frozenset(str(scope) for scope in scopes)
    unknown = sorted(wanted - SCOPES)
    if unknown or not wanted:
        problem = f"Unknown: {', '.join(unknown)}." if unknown else "A client needs a scope."
        raise Refusal(Code.MALFORMED_REQUEST, f"{problem} Known: {', '.join(sorted(SCOPES))}.")
    return wanted
