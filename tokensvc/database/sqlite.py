"""
SQLite: one file on one host.

A lock next to the file lets only one process tree serve from it: two could read different clocks.
Commands such as `tokensvc users` do not take the lock.
"""

import fcntl
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from tokensvc.core import deadline
from tokensvc.core.errors import StartupError
from tokensvc.core.waiting import may_block
from tokensvc.database.failures import ExplainedError, unavailable_because
from tokensvc.database.statements import Compiled, Rows, Values, compile_for

_BUSY_SECONDS = 5.0
_DIALECT = SQLiteDialect_pysqlite(paramstyle="named")


class NotADatabaseError(ExplainedError, sqlite3.DatabaseError):
    """The file is not an SQLite database, or a damaged one."""


class FileConnection(sqlite3.Connection):
    """
    A connection that knows its file.

    Attributes:
        path: Path of the file.
        file_id: Inode and device of the file, `None` if there was none yet.
    """

    path: str
    file_id: tuple[int, int] | None

    def fetch(self, statement: sa.ClauseElement, values: Values) -> Rows:
        """Run a statement in the open transaction, or in autocommit. Return all its rows."""
        sql, _, constants = _compiled(statement)
        return self.execute(sql, {**constants, **values} if constants else values).fetchall()

    def change(self, statement: sa.UpdateBase, values: Values) -> Rows:
        """Run a statement, which waits for other writers as `begin` does."""
        self.execute(_limit_of_waits())
        return self.fetch(statement, values)

    def is_disconnected(self) -> bool:
        """
        Return whether a copy of the database has replaced the file.

        The connection would read and write the old file. Closing it does no harm: SQLite
        checkpoints and removes no WAL of a database that was moved.
        """
        file_id = _file_id(self.path)
        return file_id is not None and file_id != self.file_id


class Turns:
    """
    Turns of the threads of this process that write.

    SQLite waits for a lock by asking again after up to 0.1 s, in no order: with many writers, some
    waited for 5 s and were refused. So only one thread of each process waits for SQLite.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        """Wait for the turn, at most until the deadline; SQLite itself refuses what comes later."""
        may_block()
        if not self._lock.acquire(timeout=deadline.remaining(_BUSY_SECONDS)):
            raise unavailable_because("database: other writers took too long")

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


def connect_args() -> dict[str, Any]:
    """Return the arguments of the driver, with autocommit."""
    return {
        "isolation_level": None,
        "timeout": _BUSY_SECONDS,
        "cached_statements": 128,
        "factory": FileConnection,
    }


def connect(
    dialect: sa.Dialect, _record: object, args: list[Any], parameters: dict[str, Any]
) -> FileConnection:
    """Connect to an existing file, and note the file."""
    (path,) = args
    file_id = _file_id(path)  # before connecting: a file that replaces it later is another one
    existing = f"{Path(path).absolute().as_uri()}?mode=rw"
    connection: Any = dialect.connect(existing, uri=True, **parameters)
    connection.path, connection.file_id = path, file_id
    file: FileConnection = connection
    return file


def _file_id(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - several times as fast, on the hot path
    except OSError:
        return None
    return found.st_ino, found.st_dev


def prepare_connection(connection: Any, _record: object) -> None:
    """
    Make every commit durable and enforce foreign keys.

    With WAL and `synchronous=NORMAL`, a power failure can lose the last commits, and so a
    revocation that was already confirmed.

    Raises:
        NotADatabaseError: The file is not an SQLite database.
    """
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            raise
        (_, _, path) = connection.execute("PRAGMA database_list").fetchone()
        raise NotADatabaseError(
            f"{path} is not an SQLite database. Restore a backup or correct `database_url`."
        ) from error
    if mode != "wal":
        raise sqlite3.OperationalError(f"this file system does not support WAL: {mode}")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def make_private_file(url: sa.URL) -> None:
    """
    Create the database file for its owner only, unless it exists.

    An existing file is not opened, because closing any descriptor of it releases the locks of this
    process's connections (POSIX; sqlite.org/howtocorrupt.html, section 2.2). Without the file the
    first connection fails.

    Raises:
        StartupError: The URL names no file.
    """
    if not url.database or url.database == ":memory:" or url.query:
        raise StartupError(
            "database_url: SQLite needs a plain file, as in sqlite:////path/to/file.db"
        )
    path = Path(url.database)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def check_files(path: Path) -> None:
    """
    Check that the database file is writable or can be created, and other files next to it.

    Raises:
        StartupError: It is not.
    """
    try:
        if path.exists() and not (path.is_file() and os.access(path, os.R_OK | os.W_OK)):
            raise StartupError(f"database_url: cannot write {path}: not a writable file")
        folder = next(parent for parent in path.parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise cannot_create(path.parent, error) from error


def cannot_create(folder: Path, error: OSError) -> StartupError:
    """Return the error for a folder in which the service cannot create its files."""
    return StartupError(
        f"Cannot create files in {folder}: {error.strerror}. Make it writable or change "
        "`database_url`."
    )


def begin(connection: sa.Connection) -> None:
    """
    Begin a transaction that writes: wait for other writers, at most until the deadline.

    It takes the write lock immediately: a deferred transaction that has read cannot wait for it.
    """
    connection.exec_driver_sql(_limit_of_waits())
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def begin_snapshot(connection: sa.Connection) -> None:
    """Begin a transaction whose statements all see the same moment."""
    connection.exec_driver_sql("BEGIN")


@cache
def _compiled(statement: sa.ClauseElement) -> Compiled:
    return compile_for(_DIALECT, statement)


def _limit_of_waits() -> str:
    return f"PRAGMA busy_timeout={int(deadline.remaining(_BUSY_SECONDS) * 1000)}"


def is_connection_failure(_error: object) -> bool:
    """Return false: a file that cannot be used fails immediately, so it needs no breaker."""
    return False


class AlreadyServedError(StartupError):
    """Another process serves from the same SQLite file."""


def hold_process_lock(sqlite_path: Path) -> Callable[[], None]:
    """
    Lock a SQLite file, by means of a separate file next to it.

    This process and its forked children hold the lock. The kernel releases it when the last of them
    ends.

    Returns:
        Function that releases the lock.

    Raises:
        AlreadyServedError: Another process holds the lock.
        StartupError: The file or its folder cannot be created.
    """
    path = sqlite_path.with_name(f"{sqlite_path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_create(path.parent, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyServedError(
            f"Process {holder} already serves {sqlite_path}. Stop it first, or use PostgreSQL to "
            "run several."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return partial(os.close, descriptor)
