"""Make and restore backups."""

import secrets
from collections.abc import Iterable
from pathlib import Path

import tokensvc
from tokensvc.audit import store as audit
from tokensvc.core.errors import StartupError
from tokensvc.database import schema, sqlite_backup
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.recovery import manifest, postgresql
from tokensvc.recovery.manifest import Manifest
from tokensvc.standing import ring_versions
from tokensvc.standing.rules import Ring
from tokensvc.vault.store import EncryptedSecrets


def describe(
    database: Database,
    database_clock: DatabaseClock,
    secrets_of: Iterable[EncryptedSecrets],
    *,
    environment: str,
) -> Manifest:
    """
    Return the manifest of a backup that is made from now on.

    Args:
        secrets_of: Secrets of every table.
        environment: Environment that made the database.
    """
    created_at = int(database_clock())
    with database.snapshot() as connection:
        last = audit.last(connection)
        keys = {key for table in secrets_of for key in table.key_fingerprints(connection)}
        return Manifest(
            id=secrets.token_hex(16),
            created_at=created_at,
            release=tokensvc.__version__,
            database=database.dialect,
            schema=schema.revision(connection) or "",
            environment=environment,
            ring_version=ring_versions.read(connection, Ring.STREAM),
            last_event=last.id if last is not None else None,
            encryption_keys=sorted(keys),
        )


def back_up_sqlite(described: Manifest, source: Path, backup: Path) -> Manifest:
    """
    Copy a database that may be in use, and write the manifest.

    Args:
        described: Manifest from before the copy.

    Raises:
        StartupError: The backup exists or cannot be written.
    """
    if backup.exists():
        raise StartupError(f"{backup} exists already: name a new file.")
    draft = backup.with_name(f"{backup.name}.new")
    sqlite_backup.copy_without_marker(source, draft)
    complete = manifest.with_hash(described, draft)
    # The manifest first: without it, a file is not a backup.
    manifest.write(complete, backup)
    draft.rename(backup)
    sqlite_backup.sync(backup.absolute().parent)
    return complete


def complete_postgresql(backup: Path) -> Manifest:
    """
    Check a dump that `pg_dump` has made, and complete its manifest.

    Raises:
        StartupError: The dump cannot be used.
    """
    described = manifest.read(backup)
    postgresql.check_dump(backup)
    complete = manifest.with_hash(described, backup)
    manifest.write(complete, backup)
    return complete


def restore_sqlite(backup: Path, path: Path, *, environment: str, now: float) -> Path | None:
    """
    Replace the database, which nothing may use, by a backup.

    Args:
        now: Epoch seconds, for the name of the previous database.

    Returns:
        Path of the previous database; `None` if there was none.

    Raises:
        StartupError: The backup cannot be used, or a file cannot be written.
    """
    described = manifest.read(backup)
    manifest.check(described, backup, database="sqlite", environment=environment)
    aside = path.with_name(f"{path.name}.before-restore-{int(now)}")
    try:
        had_previous = sqlite_backup.put_in_place(backup, path, aside)
    except OSError as error:
        raise StartupError(
            f"Cannot write {path}: {error.strerror}. Correct that, and run this again."
        ) from error
    return aside if had_previous else None
