"""
The lock next to the SQLite file: only one process tree serves from it.

Two trees could read different clocks. Commands such as `tokensvc users` do not take the lock.
"""

import fcntl
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tokensvc.core.errors import StartupError
from tokensvc.database.sqlite import cannot_create


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
