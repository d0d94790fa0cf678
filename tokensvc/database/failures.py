"""What a failing database becomes: a refusal to try again, unless the fault is our own."""

from tokensvc.core.errors import Code, Refusal

RETRY_AFTER = 5

_OUR_FAULT = frozenset(
    {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"},
)
"""PEP 249 fixes these names, so both drivers and SQLAlchemy's wrappers have them."""


def is_unavailability(error: Exception) -> bool:
    """Tell whether the database failed; a broken constraint or statement is a fault of ours."""
    return not any(kind.__name__ in _OUR_FAULT for kind in type(error).__mro__)


def unavailable(error: Exception) -> Refusal:
    """
    Give the refusal that stands for a failed database.

    The driver's text stays out: it names hosts and roles, and may quote values.
    """
    cause = getattr(error, "orig", None) or error
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The database is unavailable. Retry after `Retry-After` seconds.",
        reason=f"database: {type(cause).__name__}",
        retry_after=RETRY_AFTER,
    )
