"""The scopes of service clients."""

from collections.abc import Iterable
from enum import StrEnum

from tokensvc.core.errors import Code, Refusal


class Scope(StrEnum):
    """A permission for one kind of request."""

    TOKENS_MINT = "tokens:mint"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_ROLES = "users:roles"
    ACCOUNTS_WRITE = "accounts:write"
    REVOCATIONS_WRITE = "revocations:write"
    APP_WRITE = "app:write"
    KEYS_WRITE = "keys:write"
    CLIENTS_WRITE = "clients:write"
    AUDIT_READ = "audit:read"


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
