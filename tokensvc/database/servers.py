"""
The servers that this process has connected to, and which of them is the primary.

After a failover the previous primary may accept connections again, without what happened since.
Each promotion begins the next timeline: of two servers with the same system identifier, the one
with the lower timeline is the previous primary.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

_log = structlog.get_logger(__name__)


@dataclass(eq=False, slots=True)
class Server:
    """
    One run of a server.

    Attributes:
        address: Host and port, for people.
        system: System identifier, which standbys share with their primary; empty if unknown.
        timeline: Number of its timeline; 0 if unknown.
        started_at: Time of its start.
        is_left: Whether another one has become the primary: what it returns no longer counts.
    """

    address: str = ""
    system: str = ""
    timeline: int = 0
    started_at: str = ""
    is_left: bool = False

    def is_same(self, other: "Server") -> bool:
        """Return whether both are the same run, perhaps at different addresses."""
        return (self.system, self.timeline, self.started_at) == (
            other.system,
            other.timeline,
            other.started_at,
        )


class Servers:
    """
    The primary of this process, and the highest timeline that it has seen. Thread-safe.

    Attributes:
        primary: Server that connections are opened to; `None` before the first one.
        problem: Why two servers accept writes; `None` if at most one was found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: dict[str, int] = {}
        self.primary: Server | None = None
        self.problem: str | None = None

    def is_promoted(self, server: Server) -> bool:
        """Return whether a server was promoted since the last look."""
        return 0 < self._highest.get(server.system, 0) < server.timeline

    def accept(self, server: Server) -> Server | None:
        """Return the record of the primary, which may be a new one; `None` for a previous one."""
        with self._lock:
            if server.timeline < self._highest.get(server.system, 0):
                return None
            self._highest[server.system] = server.timeline
            before = self.primary
            if before is not None and before.is_same(server):
                return before
            self.primary = server
        if before is not None:
            before.is_left = True
            _log.info(
                "database_server_changed",
                server=server.address,
                timeline=server.timeline,
                previous=before.address,
                previous_timeline=before.timeline,
            )
        return server

    def compare(self, writable: Sequence[Server]) -> None:
        """Record whether the servers that accept writes now include a second primary."""
        problems = (self._problem_of(server, writable) for server in writable)
        problem = next((problem for problem in problems if problem is not None), None)
        if problem is not None and self.problem is None:
            _log.warning("database_two_primaries", detail=problem)
        elif problem is None and self.problem is not None:
            _log.info("database_two_primaries_ended")
        self.problem = problem

    def _problem_of(self, server: Server, writable: Sequence[Server]) -> str | None:
        highest = self._highest.get(server.system, 0)
        if server.timeline < highest:
            return (
                f"two primaries: {server.address} accepts writes on timeline {server.timeline}, "
                f"after timeline {highest} has begun: stop {server.address}"
            )
        for other in writable:
            is_related = other.system == server.system != "" and not other.is_same(server)
            if is_related and other.timeline == server.timeline:
                return (
                    f"two primaries: {server.address} and {other.address} accept writes on "
                    f"timeline {server.timeline}: stop one of them"
                )
        return None
