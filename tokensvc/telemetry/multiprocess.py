"""
The files in which gunicorn's workers count.

Each worker counts in its own files, and a scrape adds up all files. A file is named after a slot,
not after a process: a new worker takes the slot of an ended one and continues its figures. So no
total decreases, which Prometheus would take for a restart, and there are never more files than
workers that ran simultaneously. Gauges of an ended worker are removed.

The files are in a temporary folder. The master and its workers hold a lock on it, which the kernel
releases when the last of them ends. The master removes its folder when it ends, and at its start
those that a killed service left: folders without a holder of the lock.
"""

import atexit
import fcntl
import itertools
import os
import shutil
import tempfile
import threading
from pathlib import Path

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_PREFIX = "tokensvc-worker-metrics-"

_taking = threading.Lock()
_held: tuple[int, int] = (0, 0)
"""Process and its slot. A forked process differs in the first and takes a slot of its own."""


def prepare() -> None:
    """
    Create the folder of this service, and remove those of killed ones.

    Call this before `telemetry.metrics` is imported.
    """
    folder = _make_locked_folder()
    os.environ[DIRECTORY_VARIABLE] = str(folder)
    atexit.register(_remove_own, folder, os.getpid())
    for path in folder.parent.glob(f"{_PREFIX}*"):
        lock = _lock(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _make_locked_folder() -> Path:
    """Return a new folder, locked as long as this process or a forked one runs."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        if _lock(folder) is not None:
            return folder  # otherwise another start has taken it for an abandoned one


def _lock(folder: Path) -> int | None:
    """
    Lock a folder of this user, and return the descriptor that holds the lock.

    Returns:
        `None` if another process holds the lock, or has removed the folder.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        locked = os.fstat(descriptor)
        if locked.st_uid == os.geteuid() and os.path.samestat(locked, folder.lstat()):
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _remove_own(folder: Path, process: int) -> None:
    """Remove the folder in the process that made it: workers inherit exit handlers."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def slot() -> int:
    """Return the slot of this process; the first call in a process takes the lowest free one."""
    global _held  # noqa: PLW0603 - one slot per process
    if _held[0] != os.getpid():
        with _taking:
            if _held[0] != os.getpid():
                _held = os.getpid(), _take_slot(Path(os.environ[DIRECTORY_VARIABLE]))
    return _held[1]


def remove_gauges_of_ended_processes() -> None:
    """Remove the gauges of each slot that no process has."""
    for path in Path(os.environ[DIRECTORY_VARIABLE]).glob("slot_*.lock"):
        lock = _take(path)
        if lock is not None:
            os.close(lock)


def _take_slot(directory: Path) -> int:
    # The kernel releases the lock when the process ends.
    return next(n for n in itertools.count() if _take(directory / f"slot_{n}.lock") is not None)


def _take(path: Path) -> int | None:
    """
    Lock a slot and remove the gauges that an ended process has left.

    Returns:
        The open lock file; None if a process has the slot.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    number = path.stem.rpartition("_")[2]
    for gauges in path.parent.glob(f"gauge_live*_{number}.db"):
        gauges.unlink(missing_ok=True)
    return lock
