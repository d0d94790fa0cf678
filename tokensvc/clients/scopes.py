"""What a service client may be allowed to do."""

from collections.abc import Iterable

SCOPES = frozenset(
    {
        "tokens:mint",
        "users:read",
        "users:write",
        "accounts:write",
        "revocations:write",
        "app:write",
        "keys:write",
        "clients:write",
        "audit:read",
    }
)


def check_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """
    Give the scopes as a set.

    Raises:
        ValueError: None is given, or one that does not exist.
    """
    wanted = frozenset(scopes)
    unknown = sorted(wanted - SCOPES)
    if unknown or not wanted:
        problem = f"Unknown: {', '.join(unknown)}." if unknown else "A client needs a scope."
        raise ValueError(f"{problem} There are {', '.join(sorted(SCOPES))}.")
    return wanted
