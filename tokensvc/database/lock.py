"""
The lock beside the SQLite file: one process tree serves from it.

Two trees would each have their own clock reading and their own pool; commands such as
`tokensvc users` are short and take no part.
"""

import fcntl
import os
from pathlib import Path

from tokensvc.core.errors import StartupError


class AlreadyServedError(StartupError):
    """Another process serves from the same SQLite file."""


class ProcessLock:
    """
    A lock that lives as long as this process or a child forked by it.

    The kernel lets go of it when the last of them ends, however that happens.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another process serve."""
        os.close(self._descriptor)


def hold_process_lock(sqlite_path: Path) -> ProcessLock:
    """
    Take the lock of a SQLite file, on a file of its own beside it.

    Raises:
        AlreadyServedError: Another process holds it.
        StartupError: The file or its folder cannot be made.
    """
    path = sqlite_path.with_name(f"{sqlite_path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StartupError(f"database_url: cannot write {path}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyServedError(
            f"{sqlite_path} is served by process {holder} already: stop that one first, "
            "or move to PostgreSQL to run several."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, b"%d\n" % os.getpid())
    return ProcessLock(descriptor)
