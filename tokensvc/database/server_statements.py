"""
Statements that PostgreSQL keeps prepared in a session: planning one takes longer than running it.

A pooler may use another session for each message. So the name of a statement is the hash of its
text: in every session it is the same statement, also if another client prepared it. A connection in
whose session it is missing sends the text itself from then on.

Imported on first use, like the driver.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import errors, generators
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus

from tokensvc.database.prepared import Rows

if TYPE_CHECKING:
    from tokensvc.database.postgresql import BoundedConnection

STATEMENT_SECONDS = 3
_LOCK_SECONDS = 2
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED"
BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ"
_PARAMETER = re.compile(r"%\((\w+)\)s")
_UNUSABLE = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)
"""The session has no such statement, or a migration has changed the type of its result."""


class _Prepared(NamedTuple):
    """
    The texts that prepare and execute a statement.

    Attributes:
        names: Names of the parameters, in their order.
    """

    name: str
    names: Sequence[str]
    prepare: str
    execute: str


def _settings(commit: str) -> str:
    """
    Return the statement that sets the timeouts and the commit of a transaction.

    Args:
        commit: SQL expression of `synchronous_commit`.
    """
    return f"""
SELECT set_config('statement_timeout', '{STATEMENT_SECONDS}s', true),
       set_config('lock_timeout', '{_LOCK_SECONDS}s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true),
       set_config('synchronous_commit', {commit}, true)
"""


# Sent with BEGIN, so in one round trip. Not in the start-up packet, which poolers refuse.
SETTINGS = _settings(
    "CASE current_setting('synchronous_commit') "
    "WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END"
)
_EARLY_SETTINGS = _settings("'off'")


def fetch_rows(
    connection: "BoundedConnection", sqls: Sequence[str], values: Mapping[str, object]
) -> Rows:
    """Run a query outside any transaction, and return all its rows."""
    return _execute(connection, sqls, values).fetchall()


def fetch_private_rows(
    connection: "BoundedConnection", sqls: Sequence[str], values: Mapping[str, object]
) -> Rows:
    """Run a query as `fetch_rows`, with its values apart from the text."""
    (sql,) = sqls
    if connection.prepared is not None:
        try:
            prepared = _prepared_in(connection.prepared, connection, sql)
            return _fetch_bound(connection, prepared, values)
        except _UNUSABLE:
            connection.prepared = None
    return connection.execute(sql, values).fetchall()


def run_writes(
    connection: "BoundedConnection", sqls: Sequence[str], values: Mapping[str, object]
) -> Rows:
    """
    Run statements in a transaction like that of `Database.write`; return all rows of the last.

    A failure leaves the transaction open, so the caller closes the connection.
    """
    return _run_writes(connection, [SETTINGS, *sqls], values)


def run_early_writes(
    connection: "BoundedConnection", sqls: Sequence[str], values: Mapping[str, object]
) -> Rows:
    """Run statements as `run_writes`; the commit is on disk with the next one that waits for it."""
    return _run_writes(connection, [_EARLY_SETTINGS, *sqls], values)


def _run_writes(
    connection: "BoundedConnection", sqls: Sequence[str], values: Mapping[str, object]
) -> Rows:
    cursor = _execute(connection, sqls, values, f"{BEGIN};{{}};COMMIT")
    cursor.set_result(-2)
    return cursor.fetchall() if cursor.description else []


def _execute(
    connection: "BoundedConnection",
    sqls: Sequence[str],
    values: Mapping[str, object],
    frame: str = "{}",
) -> psycopg.ClientCursor[Any]:
    """
    Run statements with named parameters in one message, and return the cursor.

    Args:
        frame: Text of the message around the statements.
    """
    # One message can have several statements if the driver inserts the values as literals.
    cursor = psycopg.ClientCursor(connection)
    if connection.prepared is not None:
        try:
            texts = [_prepared_in(connection.prepared, connection, sql).execute for sql in sqls]
            return cursor.execute(frame.format(";".join(texts)), values)
        except _UNUSABLE:
            connection.prepared = None
            connection.rollback()  # ends the transaction of the message, if it has one
    return cursor.execute(frame.format(";".join(sqls)), values)


def _fetch_bound(
    connection: "BoundedConnection", prepared: _Prepared, values: Mapping[str, object]
) -> Rows:
    """Execute a prepared query; the driver has no function for one that it has not prepared."""
    parameters = [str(values[name]).encode() for name in prepared.names]
    connection.pgconn.send_query_prepared(prepared.name.encode(), parameters)
    (result,) = connection.wait(generators.execute(connection.pgconn))
    if result.status != ExecStatus.TUPLES_OK:
        raise errors.error_from_result(result)
    transformer = Transformer(connection)
    transformer.set_pgresult(result)
    return transformer.load_rows(0, result.ntuples, tuple)


def _prepared_in(prepared: set[str], connection: "BoundedConnection", sql: str) -> _Prepared:
    """Return the texts of a statement, prepared in the session at its first use."""
    texts = _prepared(sql)
    if texts.name not in prepared:
        # Another client of a pooler may have used the session.
        with suppress(errors.DuplicatePreparedStatement):
            connection.execute(texts.prepare)
        prepared.add(texts.name)
    return texts


@cache
def _prepared(sql: str) -> _Prepared:
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    numbered = sql % {name: f"${number}" for number, name in enumerate(names, 1)}
    name = f"tokensvc_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
    arguments = f"({', '.join(f'%({name})s' for name in names)})" if names else ""
    return _Prepared(name, names, f"PREPARE {name} AS {numbered}", f"EXECUTE {name}{arguments}")
