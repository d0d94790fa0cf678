"""A PostgreSQL server whose clock is a parameter."""

from collections.abc import Callable

import psycopg
import sqlalchemy as sa
from psycopg import sql

from testing.database_parts import engine_of
from tokensvc.database.engine import Database

_CLOCK = """
CREATE SCHEMA model;
CREATE TABLE model.clock AS SELECT 0::double precision AS now;
CREATE FUNCTION model.now() RETURNS timestamptz
    AS 'SELECT to_timestamp(now) FROM model.clock' LANGUAGE sql;
CREATE FUNCTION model.clock_timestamp() RETURNS timestamptz
    AS 'SELECT to_timestamp(now) FROM model.clock' LANGUAGE sql
"""
_SHIFTED = """
CREATE OR REPLACE FUNCTION model.clock_timestamp() RETURNS timestamptz LANGUAGE sql
    AS $$SELECT pg_catalog.clock_timestamp()"""


def clock_as_parameter(database: Database) -> Callable[[float], None]:
    """Return a function that sets the time of a PostgreSQL server, in epoch seconds."""
    with database.write() as tx:
        for statement in _CLOCK.split(";"):
            tx.execute(sa.text(statement))
        name = tx.scalar(sa.text("SELECT current_database()"))
        # A schema before `pg_catalog` replaces its functions.
        path = "model, pg_catalog, public"
        tx.execute(sa.text(f'ALTER DATABASE "{name}" SET search_path = {path}'))
    engine_of(database).dispose()

    def set_time(now: float) -> None:
        with database.write() as tx:
            tx.execute(sa.text("UPDATE model.clock SET now = :now"), {"now": now})

    return set_time


def shift_clock(url: str, seconds: float) -> None:
    """
    Set by how much the clock of a PostgreSQL database is ahead of the host's.

    The first call affects only later connections.
    """
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CREATE SCHEMA IF NOT EXISTS model")
        admin.execute(f"{_SHIFTED} + interval '{seconds} s'$$")
        admin.execute(
            sql.SQL("ALTER DATABASE {} SET search_path = model, pg_catalog, public").format(
                sql.Identifier(admin.info.dbname)
            )
        )
