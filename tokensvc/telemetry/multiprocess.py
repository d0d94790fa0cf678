"""
The files in which gunicorn's workers count.

Each worker counts in its own files, and a scrape adds up all files. A file is named after a slot,
not after a process: a new worker takes the slot of an ended one and continues its figures. So no
total decreases, which Prometheus would take for a restart, and there are never more files than
workers that ran simultaneously.
"""

import fcntl
import itertools
import os
from pathlib import Path

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_held: tuple[int, int] = (0, 0)
"""Process and its slot. A forked process differs in the first and takes a slot of its own."""


def prepare(directory: str | os.PathLike[str]) -> None:
    """Empty the directory and use it. Call this before `telemetry.metrics` is imported."""
    path = Path(directory)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in path.glob("*.db"):
        stale.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(path)


def slot() -> int:
    """Return the slot of this process; the first call in a process takes the lowest free one."""
    global _held  # noqa: PLW0603 - one slot per process
    if _held[0] != os.getpid():
        _held = os.getpid(), _take_slot(Path(os.environ[DIRECTORY_VARIABLE]))
    return _held[1]


def _take_slot(directory: Path) -> int:
    for number in itertools.count():
        lock = os.open(directory / f"slot_{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
        else:
            break  # the kernel releases the lock when the process ends
    return number
