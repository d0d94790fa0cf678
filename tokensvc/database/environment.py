"""
The environment that made the database, which is recorded in it once.

The keys and clients of development must not sign or mint in production, and the reverse.
"""

import sqlalchemy as sa

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database
from tokensvc.database.tables import database_environment
from tokensvc.database.upsert import insert


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
