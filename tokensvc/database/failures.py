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

_INCOMPLETE_SCHEMA = frozenset({"42P01", "42703"})
"""SQLSTATE of a missing table and a missing column (PostgreSQL, appendix A)."""
_INCOMPLETE_ON_SQLITE = re.compile(r"no such (?:table|column): |table \S+ has no column named ")
_NO_ACCESS = "42501"
"""SQLSTATE of a missing right (PostgreSQL, appendix A)."""

# The driver reports no SQLSTATE for a failed connection, because libpq keeps only the text. So a
# server whose `lc_messages` is not English, and has no connection left, counts as unreachable. The
# second forms are PgBouncer's.
_WRONG_DATABASE = re.compile(r'database "(.+?)" does not exist|no such database: (\S+)')
_WRONG_ROLE = re.compile(
    r'role ".+?" (?:does not exist|is not permitted to log in)'
    r"|(?:password|SASL|Peer) authentication failed|no password supplied|no such user",
)
_NO_CONNECTION_LEFT = re.compile(
    r"too many (?:clients|connections)|remaining connection slots are reserved"
    r"|no more connections allowed",
)
_CAUSE = re.compile(r"(?:.* failed: )?(?:FATAL: +)?(.*)")


class ExplainedError(Exception):
    """Base of driver errors whose text is for operators: what is wrong and what to do."""


class ExhaustedError(Exception):
    """The server works, and has no further connection. Those that are open stay usable."""


class OverrunError(Exception):
    """A wait for the server was given up, which closes the connection. It must not be repeated."""


def is_unavailability(error: Exception) -> bool:
    """Return whether the database failed, and not a constraint or a statement."""
    return _remedy(error) is not None or not any(
        kind.__name__ in _PROGRAMMING_ERRORS for kind in type(error).__mro__
    )


def _remedy(error: Exception) -> tuple[str, str] | None:
    """Return what is wrong and its remedy; `None` if the operator can do nothing."""
    cause = cause_of(error)
    state = getattr(cause, "sqlstate", None)
    if state in _INCOMPLETE_SCHEMA or _INCOMPLETE_ON_SQLITE.match(str(cause)):
        return "The service's database is incomplete", "run `tokensvc migrate`"
    if state == _NO_ACCESS:
        return (
            "The service may not use a table of its database",
            "grant the role of `database_url` all rights on all tables",
        )
    return None


def cause_of(error: Exception) -> BaseException:
    """Return the driver's error, which SQLAlchemy wraps."""
    cause: BaseException | None = getattr(error, "orig", None)
    return cause or error


def reason_of(error: Exception) -> str:
    """Return the reason for the log. A driver's own text is omitted: it can contain values."""
    cause = cause_of(error)
    return str(cause) if isinstance(cause, ExplainedError) else f"database: {type(cause).__name__}"


def unavailable(error: Exception) -> Refusal:
    """Return the refusal for a failed database."""
    remedy = _remedy(error)
    if remedy is None:
        return unavailable_because(reason_of(error))
    fault, command = remedy
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        f"{fault}: its operator must {command}.",
        reason=f"{reason_of(error)}, {command}",
        retry_after=RETRY_AFTER,
    )


def unavailable_because(reason: str) -> Refusal:
    """Return the refusal for a database that is not used, with a reason for the log."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The database is unavailable. Retry after `Retry-After` seconds.",
        reason=reason,
        retry_after=RETRY_AFTER,
    )


def has_no_connection_left(text: str) -> bool:
    """Return whether the text of libpq says that a server refuses only further connections."""
    return _NO_CONNECTION_LEFT.search(text) is not None


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
    reason = cause[1] if cause else "no reason given"
    if has_no_connection_left(text):
        return (
            f"The database server {host}:{port} has no connection left ({reason}). "
            "Raise its `max_connections`, or lower `threads` or `workers`."
        )
    return (
        f"Cannot connect to the database server {host}:{port} ({reason}). "
        "Start it or correct `database_url`."
    )
