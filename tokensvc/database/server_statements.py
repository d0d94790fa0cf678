"""
Statements that PostgreSQL keeps prepared in a session: planning one takes longer than running it.

A pooler may use another session for each message. So the name of a statement is the hash of its
text: in every session it is the same statement, whoever prepared it. A connection in whose session
it is missing sends the text itself from then on.

Imported on first use, like the driver.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import errors

if TYPE_CHECKING:
    from tokensvc.database.postgresql import BoundedConnection

_PARAMETER = re.compile(r"%\((\w+)\)s")
_UNUSABLE = (errors.InvalidSqlStatementName, errors.FeatureNotSupported)
"""The session has no such statement, or a migration has changed the type of its result."""


class _Prepared(NamedTuple):
    """The texts that prepare and execute a statement."""

    name: str
    prepare: str
    execute: str


def execute(
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
            texts = [_prepared_in(connection.prepared, connection, sql) for sql in sqls]
            return cursor.execute(frame.format(";".join(texts)), values)
        except _UNUSABLE:
            connection.prepared = None
            connection.rollback()  # ends the transaction of the message, if it has one
    return cursor.execute(frame.format(";".join(sqls)), values)


def _prepared_in(prepared: set[str], connection: "BoundedConnection", sql: str) -> str:
    """Return the text that executes a statement, after its first use in a session prepared it."""
    texts = _prepared(sql)
    if texts.name not in prepared:
        # Another client of a pooler may have used the session.
        with suppress(errors.DuplicatePreparedStatement):
            connection.execute(texts.prepare)
        prepared.add(texts.name)
    return texts.execute


@cache
def _prepared(sql: str) -> _Prepared:
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    numbered = sql % {name: f"${number}" for number, name in enumerate(names, 1)}
    name = f"tokensvc_{hashlib.sha256(sql.encode()).hexdigest()[:32]}"
    arguments = f"({', '.join(f'%({name})s' for name in names)})" if names else ""
    return _Prepared(name, f"PREPARE {name} AS {numbered}", f"EXECUTE {name}{arguments}")
