"""Database errors as refusals, except errors in the statements of this service."""

from tokensvc.core.errors import Code, Refusal

RETRY_AFTER = 5

_PROGRAMMING_ERRORS = frozenset(
    {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"},
)
"""Names of PEP 249, so both drivers and SQLAlchemy's wrappers use them."""


def is_unavailability(error: Exception) -> bool:
    """Return whether the database failed, and not a constraint or a statement."""
    return not any(kind.__name__ in _PROGRAMMING_ERRORS for kind in type(error).__mro__)


def unavailable(error: Exception) -> Refusal:
    """
    Return the refusal for a failed database.

    The driver's text is omitted, because it contains hosts and roles and can contain values.
    """
    cause = getattr(error, "orig", None) or error
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The database is unavailable. Retry after `Retry-After` seconds.",
        reason=f"database: {type(cause).__name__}",
        retry_after=RETRY_AFTER,
    )
