"""What a service client may be allowed to do."""

from collections.abc import Iterable
from enum import StrEnum

from tokensvc.core.errors import Code, Refusal


class Scope(StrEnum):
    """A permission of a client."""

    TOKENS_MINT = "tokens:mint"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    ACCOUNTS_WRITE = "accounts:write"
    REVOCATIONS_WRITE = "revocations:write"
    APP_WRITE = "app:write"
    KEYS_WRITE = "keys:write"
    CLIENTS_WRITE = "clients:write"
    AUDIT_READ = "audit:read"


SCOPES = frozenset(scope.value for scope in Scope)


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """
    Give the scopes as a set.

    Raises:
        Refusal: `malformed_request`: none is given, or one that does not exist.
    """
    wanted = frozenset(str(scope) for scope in scopes)
    unknown = sorted(wanted - SCOPES)
    if unknown or not wanted:
        problem = f"Unknown: {', '.join(unknown)}." if unknown else "A client needs a scope."
        raise Refusal(Code.MALFORMED_REQUEST, f"{problem} There are {', '.join(sorted(SCOPES))}.")
    return wanted
