"""
The files through which gunicorn's workers share their metrics.

Each worker counts in files of its own; a scrape adds them up. A worker that ends leaves its files,
so that a service whose workers are recycled would read thousands of them at a scrape. The master
adds a dead worker's figures to one archive and removes its files. Nothing is subtracted from a
total, which Prometheus would take for a restart of the counter.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

_KINDS = ("counter", "histogram")
_dead: set[int] = set()
"""Workers whose files are still there, as the master knows."""


def prepare(directory: str | os.PathLike[str]) -> None:
    """Empty the directory and make the library use it; before `telemetry.metrics` is imported."""
    path = Path(directory)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left_over in path.glob("*.db"):
        left_over.unlink()
    os.environ[DIRECTORY_VARIABLE] = str(path)


def archive(pid: int) -> None:
    """
    Add the figures of a dead worker to the archive and remove its files.

    While a scrape reads, nothing is moved, or a figure would count twice or not at all; and the
    master must not wait for a worker. So the files stay, to be taken with the next worker's.
    """
    _dead.add(pid)
    directory = Path(os.environ[DIRECTORY_VARIABLE])
    with suppress(BlockingIOError), _locked(directory, fcntl.LOCK_EX | fcntl.LOCK_NB):
        while _dead:
            _fold(directory, _dead.pop())


def _fold(directory: Path, pid: int) -> None:
    # Imported late: the library decides at its import whether processes share metrics.
    from prometheus_client.mmap_dict import MmapedDict  # noqa: PLC0415 - as said above

    for kind in _KINDS:
        source = directory / f"{kind}_{pid}.db"
        if not source.exists():
            continue
        if source.stat().st_size:  # else the worker ended before it wrote
            total = MmapedDict(str(directory / f"{kind}_archive.db"))
            for key, value, *_ in MmapedDict.read_all_values_from_file(str(source)):
                total.write_value(key, total.read_value(key)[0] + value, 0.0)
            total.close()
        source.unlink()


@contextmanager
def reading(directory: str | os.PathLike[str]) -> Iterator[None]:
    """Hold `archive` off while the files are read."""
    with _locked(Path(directory), fcntl.LOCK_SH):
        yield


@contextmanager
def _locked(directory: Path, operation: int) -> Iterator[None]:
    with (directory / "archive.lock").open("a") as lock:
        fcntl.flock(lock, operation)
        yield
