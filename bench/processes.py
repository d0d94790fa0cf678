"""CPU time, context switches and memory of processes, as Linux counts them (proc(5))."""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_CPU_CLOCK = 2
"""CPUCLOCK_SCHED of the kernel: the time of all threads of a process, in nanoseconds."""
_GONE = (FileNotFoundError, ProcessLookupError)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """
    All processes of the machine at one time.

    Attributes:
        parents: Process ID of each parent.
        cpu: Nanoseconds of CPU time so far, user and system.
    """

    parents: dict[int, int]
    cpu: dict[int, int]

    @classmethod
    def take(cls) -> "Snapshot":
        """Read the present state."""
        parents, cpu = {}, {}
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            with contextlib.suppress(*_GONE, OSError):
                stat = (folder / "stat").read_text()
                cpu[pid] = time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)
                parents[pid] = int(stat.rpartition(")")[2].split()[1])
        return cls(parents, cpu)

    def descendants(self, roots: Iterable[int]) -> set[int]:
        """Return these processes and all that they started."""
        found = set(roots)
        size = 0
        while len(found) > size:
            size = len(found)
            found |= {pid for pid, parent in self.parents.items() if parent in found}
        return found & self.cpu.keys()

    def cpu_since(self, before: "Snapshot", pids: Iterable[int]) -> float:
        """Return the seconds of CPU time that these processes used since another snapshot."""
        return sum(self.cpu[pid] - before.cpu.get(pid, 0) for pid in pids) / 1e9


def voluntary_switches(pids: Iterable[int]) -> int:
    """Return how often a thread of these processes has waited for something so far."""
    return sum(
        int(line.split()[1])
        for pid in pids
        for status in _thread_statuses(pid)
        for line in status.splitlines()
        if line.startswith("voluntary_ctxt_switches")
    )


def _thread_statuses(pid: int) -> Iterator[str]:
    for folder in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(*_GONE):
            yield (folder / "status").read_text()


def serving_processes(leader: int) -> list[int]:
    """Return the workers of a master, or the process itself if it has none."""
    parents = Snapshot.take().parents
    children = [pid for pid, parent in parents.items() if parent == leader]
    helpers = [pid for pid in children if b"resource_tracker" in _command(pid)]
    return [pid for pid in children if pid not in helpers] or [leader]


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped by a signal."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"


@contextlib.contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Restrict this process, and the processes that it starts, to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
