"""
Statements on a connection to PostgreSQL, which keeps those outside transactions prepared.

Planning one takes longer than running it. They are prepared, bound and awaited by libpq's own
functions: psycopg's cursors cost twice as much. The name of a statement is the hash of its text, so
that behind a pooler, where another client may have prepared it, a name is never another statement.

A pooler in transaction mode may use another session for each statement. PgBouncer 1.21 or later
with `max_prepared_statements` prepares each statement where it is missing. Behind any other one
PostgreSQL refuses a statement sooner or later: from then on this process sends their texts. Behind
every pooler it does so in transactions, which a refused statement would abort.

A change in a transaction that returns no rows waits for the next statement, or the commit: each
message costs more than most changes.

Imported on first use, like the driver.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import sqlalchemy as sa
from psycopg import errors
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from tokensvc.database.statements import Rows, Values, compile_for

if TYPE_CHECKING:
    from tokensvc.database.postgresql import BoundedConnection

STATEMENT_SECONDS = 3
_LOCK_SECONDS = 2
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_DURABLE = (
    "CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
)
# Sent with BEGIN, so in one round trip. Not in the start-up packet, which poolers refuse.
SETTINGS = f"""
SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', true),
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


class _Statement(NamedTuple):
    """A compiled statement, and its name where it is prepared."""

    name: bytes
    sql: bytes
    names: Sequence[str]
    constants: Values
    has_rows: bool


def fetch(connection: "BoundedConnection", statement: sa.ClauseElement, values: Values) -> Rows:
    """Run a statement in the open transaction, or in autocommit. Return all its rows."""
    compiled = _compiled(statement)
    if compiled.constants:
        values = {**compiled.constants, **values}
    parameters = [_encoded(values[name]) for name in compiled.names]
    pgconn = connection.pgconn
    can_prepare = connection.is_direct or pgconn.transaction_status == TransactionStatus.IDLE
    if can_prepare and connection.preparation.is_possible:
        try:
            if compiled.name not in connection.prepared:
                pgconn.send_prepare(compiled.name, compiled.sql)
                connection.result()
                connection.prepared.add(compiled.name)
            send = partial(pgconn.send_query_prepared, compiled.name, parameters)
            return _run(connection, send, has_rows=compiled.has_rows)
        except psycopg.Error as error:
            # Otherwise the connection is closed, or the transaction aborted.
            is_usable = pgconn.transaction_status == TransactionStatus.IDLE
            if not (_is_refused_preparation(error) and is_usable):
                raise
    send = partial(pgconn.send_query_params, compiled.sql, parameters)
    return _run(connection, send, has_rows=compiled.has_rows)


def _run(connection: "BoundedConnection", send: Callable[[], None], *, has_rows: bool) -> Rows:
    if connection.pgconn.transaction_status == TransactionStatus.IDLE:
        send()
        return _rows(connection, connection.result())
    connection.unsent.append(send)
    return _rows(connection, connection.send_all()) if has_rows else []


def note_failure(connection: "BoundedConnection", error: BaseException) -> None:
    """Stop using what a failed statement shows to be unusable."""
    if isinstance(error, errors.FeatureNotSupported):
        # A migration has changed the type of a result. A new session prepares it again.
        connection.close()
    elif _is_refused_preparation(error):
        connection.preparation.is_possible = False


def change(connection: "BoundedConnection", statement: sa.UpdateBase, values: Values) -> Rows:
    """Run a statement; an update has a limit for locks and a durable commit."""
    if isinstance(statement, sa.Update):
        statement = _with_settings(statement)
    return connection.fetch(statement, values)


def _is_refused_preparation(error: BaseException) -> bool:
    """
    Return whether a session does not have a prepared statement of this client, or has another's.

    PgBouncer says so as a violation of the protocol, and closes the connection.
    """
    if isinstance(error, errors.ProtocolViolation):
        return "prepared statement" in str(error)
    return isinstance(error, errors.InvalidSqlStatementName | errors.DuplicatePreparedStatement)


@cache
def _compiled(statement: sa.ClauseElement) -> _Statement:
    sql, names, constants = compile_for(_DIALECT, statement)
    name = f"tokensvc_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
    has_rows = not isinstance(statement, sa.UpdateBase) or bool(statement.exported_columns)
    return _Statement(name.encode(), sql.encode(), names, constants, has_rows)


@cache
def _with_settings(update: sa.Update) -> sa.Update:
    """Return the update with settings that apply to its own transaction."""
    # They are set before a row is locked: the update reads their row.
    settings = sa.select(
        sa.func.set_config("lock_timeout", f"{_LOCK_SECONDS}s", sa.true()).label("lock_timeout"),
        sa.func.set_config("synchronous_commit", sa.literal_column(_DURABLE), sa.true()),
    ).cte("settings")
    return update.where(settings.c.lock_timeout.is_not(None))


def _encoded(value: object) -> bytes | None:
    if value is None:
        return None
    text = str(value).encode()
    if b"\0" in text:
        # libpq would send the part before it.
        raise psycopg.DataError("a text has a NUL character, which PostgreSQL does not store")
    return text


def _rows(connection: "BoundedConnection", result: PGresult) -> Rows:
    loaders = [connection.loader(result.ftype(column)) for column in range(result.nfields)]
    get_value = result.get_value
    return [
        tuple(
            None if (value := get_value(row, column)) is None else load(value)
            for column, load in enumerate(loaders)
        )
        for row in range(result.ntuples)
    ]
