"""The resources of a process group, from the operating system."""

import os
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# Fields of /proc/<pid>/stat after the closing parenthesis of the command (proc(5), from field 3).
_PPID, _PGRP, _UTIME, _CSTIME = 1, 2, 11, 14


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """
    A gunicorn master, the leader, and its workers.

    Args:
        leader: Process ID of the master, which is also the ID of the group.
    """

    leader: int

    def cpu_seconds(self) -> float:
        """Return the user and system time so far, including ended children."""
        ticks = 0
        for _, fields in self._members():
            ticks += sum(int(field) for field in fields[_UTIME : _CSTIME + 1])
        return ticks / _TICKS

    def workers(self) -> list[int]:
        """Return the process IDs of the workers."""
        return [pid for pid, fields in self._members() if int(fields[_PPID]) == self.leader]

    def worker_bytes(self) -> int:
        """Return the resident memory of the largest worker, in bytes."""
        return max(map(_resident_bytes, self.workers()))

    def _members(self) -> list[tuple[int, list[str]]]:
        members = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended after the listing
            fields = stat.rpartition(")")[2].split()
            if int(fields[_PGRP]) == self.leader:
                members.append((int(folder.name), fields))
        return members


def _resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            return int(value.split()[0]) * 1024
    raise ValueError(f"process {pid} has no memory")
