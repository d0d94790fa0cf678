"""
Which migrations a database has had, and bringing it up to date.

Revisions are the four digits that a migration's file name begins with, in one line without
branches: so that a worker can tell behind from ahead without loading Alembic.
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


class SchemaBehindError(StartupError):
    """The database lacks migrations that this release needs."""


def head() -> str:
    """Give the revision that this release needs."""
    return _REVISIONS[-1]


def status(database: Database) -> Status:
    """
    Compare the database with this release.

    `ahead` is a newer release's, which leaves this one working.

    Raises:
        Refusal: `temporarily_unavailable`.
    """
    with database.read() as connection:
        return _status(_revision(connection))


def require_current(database: Database) -> None:
    """
    Refuse to go on with a schema that is behind.

    Raises:
        SchemaBehindError: Names the command that brings it up to date.
        Refusal: `temporarily_unavailable`.
    """
    found = status(database)
    if found in ("behind", "empty"):
        raise SchemaBehindError(
            f"The database's schema is {found}: run `tokensvc migrate`, then start again."
        )


def migrate(database: Database) -> list[str]:
    """
    Apply what is missing, all or nothing; several processes may try at once.

    Returns:
        The revisions applied, oldest first.

    Raises:
        Refusal: `temporarily_unavailable`.
    """
    with database.migration() as transaction:
        before = _revision(transaction)
        if _status(before) in ("current", "ahead"):
            return []
        _upgrade(transaction)
    return [revision for revision in _REVISIONS if before is None or revision > before]


def _upgrade(transaction: sa.Connection) -> None:
    from alembic import command  # noqa: PLC0415 - 10 MB that no worker needs
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = transaction
    command.upgrade(config, head())


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(_applied.name):
        return None
    revision: str | None = connection.scalar(sa.select(_applied.c.version_num))
    return revision


def _status(revision: str | None) -> Status:
    if revision is None:
        return "empty"
    if revision == head():
        return "current"
    return "behind" if revision in _REVISIONS else "ahead"
