"""A PostgreSQL server whose clock is a parameter."""

from collections.abc import Callable

import sqlalchemy as sa

from tokensvc.database.engine import Database

_CLOCK = """
CREATE SCHEMA model;
CREATE TABLE model.clock AS SELECT 0::double precision AS now;
CREATE FUNCTION model.now() RETURNS timestamptz
    AS 'SELECT to_timestamp(now) FROM model.clock' LANGUAGE sql;
CREATE FUNCTION model.clock_timestamp() RETURNS timestamptz
    AS 'SELECT to_timestamp(now) FROM model.clock' LANGUAGE sql
"""


def clock_as_parameter(database: Database) -> Callable[[float], None]:
    """Return a function that sets the time of a PostgreSQL server, in epoch seconds."""
    with database.write() as tx:
        for statement in _CLOCK.split(";"):
            tx.execute(sa.text(statement))
        name = tx.scalar(sa.text("SELECT current_database()"))
        # A schema before `pg_catalog` replaces its functions.
        path = "model, pg_catalog, public"
        tx.execute(sa.text(f'ALTER DATABASE "{name}" SET search_path = {path}'))
    database._engine.dispose()

    def set_time(now: float) -> None:
        with database.write() as tx:
            tx.execute(sa.text("UPDATE model.clock SET now = :now"), {"now": now})

    return set_time
