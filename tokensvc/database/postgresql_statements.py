"""
Statements for PostgreSQL as its connections send them, and whether they may be prepared.

The name of a prepared statement is the hash of its text, so that behind a pooler, where another
client may have prepared it, a name is never another statement.

Imported on first use, like the driver.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.pq.abc import PGresult
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from tokensvc.database.statements import Rows, Values, compile_for

_STATEMENT_SECONDS = 3
_LOCK_SECONDS = 2
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_DURABLE = (
    "CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
)
# Sent with BEGIN, so in one round trip. Not in the start-up packet, which poolers refuse.
SETTINGS = f"""
SELECT set_config('statement_timeout', '{_STATEMENT_SECONDS}s', true),
       set_config('lock_timeout', '{_LOCK_SECONDS}s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('synchronous_commit', {_DURABLE}, true)
"""
_DIALECT: sa.Dialect = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class Preparation:
    """
    Whether the connections of an engine may prepare statements.

    Attributes:
        is_possible: False once a session has refused a statement that its client had prepared.
    """

    def __init__(self) -> None:
        self.is_possible = True


class Statement(NamedTuple):
    """A compiled statement, and its name where it is prepared."""

    name: bytes
    sql: bytes
    names: Sequence[str]
    constants: Values
    has_rows: bool


def is_refused_preparation(error: BaseException) -> bool:
    """
    Return whether a session does not have a prepared statement of this client, or has another's.

    PgBouncer says so as a violation of the protocol, and closes the connection.
    """
    if isinstance(error, errors.ProtocolViolation):
        return "prepared statement" in str(error)
    return isinstance(error, errors.InvalidSqlStatementName | errors.DuplicatePreparedStatement)


@cache
def compiled(statement: sa.ClauseElement) -> Statement:
    """Return a statement in the form that the driver takes."""
    sql, names, constants = compile_for(_DIALECT, statement)
    name = f"tokensvc_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
    has_rows = not isinstance(statement, sa.UpdateBase) or bool(statement.exported_columns)
    return Statement(name.encode(), sql.encode(), names, constants, has_rows)


@cache
def with_settings(update: sa.Update) -> sa.Update:
    """Return the update with settings that apply to its own transaction."""
    # They are set before a row is locked: the update reads their row.
    settings = sa.select(
        sa.func.set_config("lock_timeout", f"{_LOCK_SECONDS}s", sa.true()).label("lock_timeout"),
        sa.func.set_config("synchronous_commit", sa.literal_column(_DURABLE), sa.true()),
    ).cte("settings")
    return update.where(settings.c.lock_timeout.is_not(None))


def encoded(value: object) -> bytes | None:
    """Return the value of a parameter in the form that the driver takes."""
    if value is None:
        return None
    text = str(value).encode()
    if b"\0" in text:
        # libpq would send the part before it.
        raise psycopg.DataError("a text has a NUL character, which PostgreSQL does not store")
    return text


def rows_of(result: PGresult, loader: Callable[[int], Callable[[Any], Any]]) -> Rows:
    """
    Return the rows of a result.

    Args:
        loader: Function that returns the function that converts the text of a value of a type.
    """
    loaders = [loader(result.ftype(column)) for column in range(result.nfields)]
    get_value = result.get_value
    return [
        tuple(
            None if (value := get_value(row, column)) is None else load(value)
            for column, load in enumerate(loaders)
        )
        for row in range(result.ntuples)
    ]
