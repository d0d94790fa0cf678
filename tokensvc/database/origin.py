"""
Where the database comes from: the environment that made it, and whether it was restored.

The environment is recorded once: the keys and clients of development must not sign or mint in
production, and the reverse.

The marker of the live database is one row, which no backup contains. A database without it was
restored. It does not know what happened after the backup, so a start would accept again what was
refused since.
"""

import sqlalchemy as sa

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Connection, Database, Transaction
from tokensvc.database.tables import database_environment, live_database
from tokensvc.database.upsert import insert

MARKER_TABLE = live_database.name


class OtherEnvironmentError(StartupError):
    """The database was made by another environment than that of the settings."""


def check_environment(database: Database, environment: str) -> None:
    """
    Check that no other environment made the database.

    Raises:
        OtherEnvironmentError: Another one did.
    """
    with database.read() as connection:
        if not sa.inspect(connection).has_table(database_environment.name):
            return
        recorded = connection.scalar(sa.select(database_environment.c.environment))
    if recorded not in {None, environment}:
        raise OtherEnvironmentError(
            f"The database was made with `environment` = {recorded}, and the settings say "
            f"{environment}: its keys and clients are not for {environment}. Set `database_url` to "
            f"another database, or `environment` to {recorded}."
        )


def record_environment(database: Database, environment: str) -> None:
    """
    Record the environment of a database that has none.

    Raises:
        OtherEnvironmentError: Another process has recorded another one in the meantime.
    """
    with database.write() as tx:
        row = insert(tx, database_environment).values(id=1, environment=environment)
        tx.execute(row.on_conflict_do_nothing())
    check_environment(database, environment)


def has_marker(connection: Connection) -> bool:
    """Return whether the database has the marker."""
    return connection.execute(sa.select(live_database)).first() is not None


def is_sign_up_closed(connection: Connection) -> bool:
    """Return whether open sign-up is closed since a restore."""
    return bool(connection.scalar(sa.select(live_database.c.sign_up_closed)))


def write_marker(tx: Transaction, *, sign_up_closed: bool) -> None:
    """Write the marker."""
    values = {"sign_up_closed": sign_up_closed}
    row = insert(tx, live_database).values(id=1, **values)
    tx.execute(row.on_conflict_do_update(index_elements=["id"], set_=values))
