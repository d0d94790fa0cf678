"""
Database errors as refusals, except errors in the statements of this service.

Their texts for operators name hosts, roles and files. They are for the log and the command line;
callers get one text without them.
"""

import re

from tokensvc.core.errors import Code, Refusal

RETRY_AFTER = 5

_PROGRAMMING_ERRORS = frozenset(
    {"IntegrityError", "ProgrammingError", "DataError", "NotSupportedError"},
)
"""Names of PEP 249, so both drivers and SQLAlchemy's wrappers use them."""

# The driver reports no SQLSTATE for a failed connection. The second forms are PgBouncer's.
_WRONG_DATABASE = re.compile(r'database "(.+?)" does not exist|no such database: (\S+)')
_WRONG_ROLE = re.compile(
    r'role ".+?" (?:does not exist|is not permitted to log in)'
    r"|(?:password|SASL|Peer) authentication failed|no password supplied|no such user",
)
_CAUSE = re.compile(r"(?:.* failed: )?(?:FATAL: +)?(.*)")


class ExplainedError(Exception):
    """Base of driver errors whose text is for operators: what is wrong and what to do."""


def is_unavailability(error: Exception) -> bool:
    """Return whether the database failed, and not a constraint or a statement."""
    return not any(kind.__name__ in _PROGRAMMING_ERRORS for kind in type(error).__mro__)


def unavailable(error: Exception) -> Refusal:
    """
    Return the refusal for a failed database.

    A driver's own text is omitted, because it can contain values.
    """
    cause = getattr(error, "orig", None) or error
    is_explained = isinstance(cause, ExplainedError)
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The database is unavailable. Retry after `Retry-After` seconds.",
        reason=str(cause) if is_explained else f"database: {type(cause).__name__}",
        retry_after=RETRY_AFTER,
    )


def explain_connection_failure(text: str, *, host: str, port: str, role: str) -> str:
    """
    Return why a connection to PostgreSQL failed, and what an operator can do.

    Args:
        text: Text of libpq, which contains no password.
        host: Host or folder of the socket that was connected to.
        port: Port that was connected to.
        role: Role that was given.
    """
    if found := _WRONG_DATABASE.search(text):
        name = found[1] or found[2]
        return f"Database {name} does not exist on {host}. Create it or correct `database_url`."
    if _WRONG_ROLE.search(text):
        return f"PostgreSQL rejected role {role} or its password. Correct `database_url`."
    cause = _CAUSE.match(text)
    return (
        f"Cannot connect to the database server {host}:{port} "
        f"({cause[1] if cause else 'no reason given'}). Start it or correct `database_url`."
    )
