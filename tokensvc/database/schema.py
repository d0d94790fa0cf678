"""
Schema revisions and migrations.

A revision is the four digits at the beginning of a migration's file name. Revisions form one line
without branches, so that a worker can compare them without loading Alembic.
"""

from pathlib import Path
from typing import Literal, TypeAlias

import sqlalchemy as sa

from tokensvc.core.errors import StartupError
from tokensvc.database.engine import Database

Status: TypeAlias = Literal["current", "behind", "ahead", "empty"]

_MIGRATIONS = Path(__file__).parent / "migrations"
_REVISIONS = sorted(path.name[:4] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))
_applied = sa.table("alembic_version", sa.column("version_num", sa.Text))


_TOO_OLD = (
    "The database has schema {before}, of a version that was never released. Migrate it to schema "
    "{first} with a later one of these versions, or create a new database."
)


class SchemaBehindError(StartupError):
    """The database lacks migrations of this release."""


def head() -> str:
    """Return the revision of this release."""
    return _REVISIONS[-1]


def status(database: Database) -> Status:
    """
    Compare the database with this release.

    `ahead` is the schema of a newer release, which still supports this one.
    """
    with database.read() as connection:
        return _status(revision(connection))


_READ = sa.select(_applied.c.version_num)


def read_status(database: Database) -> Status:
    """Return the status of a migrated database, in one statement. With an empty one it fails."""
    rows = database.fetch(_READ)
    return _status(rows[0][0] if rows else None)


def revision(connection: sa.Connection) -> str | None:
    """Return the revision of the database; `None` if it is empty."""
    if not sa.inspect(connection).has_table(_applied.name):
        return None
    found: str | None = connection.scalar(sa.select(_applied.c.version_num))
    return found


def require_current(database: Database) -> None:
    """
    Raise an error if the schema is behind.

    Raises:
        SchemaBehindError: The schema must be migrated; the text names the command.
    """
    found = status(database)
    if found in ("behind", "empty"):
        raise SchemaBehindError(
            f"The database's schema is {found}: run `tokensvc migrate`, then start again."
        )


def migrate(database: Database) -> list[str]:
    """
    Apply the missing migrations in one transaction. Several processes can call this simultaneously.

    Returns:
        Applied revisions, oldest first.

    Raises:
        StartupError: The schema is older than the first release.
    """
    with database.migration() as transaction:
        before = revision(transaction)
        if _status(before) in ("current", "ahead"):
            return []
        if before is not None and before < _REVISIONS[0]:
            raise StartupError(_TOO_OLD.format(before=before, first=_REVISIONS[0]))
        _upgrade(transaction)
    return [each for each in _REVISIONS if before is None or each > before]


def _upgrade(transaction: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 10 MB that no worker needs
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = transaction
    command.upgrade(config, head())


def _status(found: str | None) -> Status:
    if found is None:
        return "empty"
    if found == head():
        return "current"
    return "behind" if found < head() else "ahead"
