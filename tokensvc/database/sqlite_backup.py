"""Copies of a SQLite database: made while the service runs, and put in its place again."""

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.database.origin import MARKER_TABLE

_LEFT_BEHIND = ("-wal", "-shm")
"""Files of the previous database. Next to another one, they would damage it."""


def copy_without_marker(source: Path, target: Path) -> None:
    """
    Copy a database that may be in use, without the marker of the live database.

    The copy has what was committed at one moment, also what is only in the WAL yet. Writers do not
    wait for it.

    Args:
        target: New file, which only its owner can read.

    Raises:
        StartupError: The database or the new file cannot be used.
    """
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as live,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            live.backup(copy)  # in one step: in several, each write would start it again
            copy.execute("PRAGMA journal_mode=DELETE")
            copy.execute(f"DELETE FROM {MARKER_TABLE}")  # noqa: S608 - a constant
            check(copy, target)
        sync(target)
    except (OSError, sqlite3.Error) as error:
        target.unlink(missing_ok=True)
        raise StartupError(f"Cannot copy {source} to {target}: {error}.") from error


def check(connection: sqlite3.Connection, path: Path) -> None:
    """
    Check the content of a database.

    Raises:
        StartupError: It is damaged.
    """
    (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise StartupError(f"{path} is damaged ({found}). Use another backup.")


def put_in_place(backup: Path, path: Path, aside: Path) -> bool:
    """
    Replace a database that nothing uses with a copy of a backup.

    If it is interrupted, it can be run again: until the end, the database is the previous one or
    missing.

    Args:
        aside: Path to which the previous database moves. It stays readable there.

    Returns:
        Whether there was a previous database.

    Raises:
        OSError: A file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.restoring")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        with backup.open("rb") as content:
            shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())
    had_previous = path.exists()
    for suffix in ("", *_LEFT_BEHIND):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{suffix}").rename(f"{aside}{suffix}")
    draft.rename(path)
    sync(path.parent)
    return had_previous


def sync(path: Path) -> None:
    """Make a file or the names in a folder survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
