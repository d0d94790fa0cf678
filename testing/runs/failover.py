"""
A primary of PostgreSQL fails under load, and its standby is promoted.

Three instances with two workers each use the cluster. At every worker and throughout, clients mint,
suspend and revoke users, and refresh sessions at two instances simultaneously. As a cluster manager
does, the run promotes the standby some seconds after the fault.
"""

import contextlib
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

from testing.cluster import running_cluster
from testing.database_url import migrated_settings
from testing.postgres import PostgresServer
from testing.runs.failover_figures import Figures
from testing.runs.failover_load import CONNECTIONS, Load
from testing.runs.fleet import open_connections
from testing.runs.preparation import temporary_folder
from testing.service import start_service
from testing.waiting import wait_until
from testing.world import World, running_world

_INSTANCES, _WORKERS = 3, 2
_REQUESTS = 20
"""Requests of each kind at each worker before the fault, after it and after each later change."""
_PROMOTION_SECONDS = 3.0
_STALL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Case:
    """
    One way to fail.

    Attributes:
        is_synchronous: Whether commits wait for the standby. If not, it lags behind at the fault.
        is_frozen: Whether the primary is frozen and woken later; otherwise it is killed.
        returns: Whether the killed primary is started again, and then an instance is restarted.
    """

    is_synchronous: bool = True
    is_frozen: bool = False
    returns: bool = False


CASES = {
    "killed, synchronous standby": Case(),
    "frozen and woken, synchronous standby": Case(is_frozen=True),
    "killed, asynchronous standby": Case(is_synchronous=False),
    "killed and started again, synchronous standby": Case(returns=True),
}


def prove(names: list[str]) -> Iterator[Figures]:
    """Yield the figures of these cases."""
    for name in names:
        with contextlib.ExitStack() as stack:
            yield _Run(stack).run(name, CASES[name])


class _Run:
    """The cluster, the instances and their clients."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        server = PostgresServer()
        stack.callback(server.remove)
        self._old, self._new = stack.enter_context(running_cluster(server.programs))
        folders = ",".join(str(each.folder) for each in (self._old, self._new))
        settings = {
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            "TOKENSVC_WORKERS": str(_WORKERS),
            **migrated_settings(f"postgresql://postgres@/postgres?host={folders}"),
        }
        self._world = stack.enter_context(
            running_world(temporary_folder(stack), World, None, **settings)
        )
        self._services = [self._world.service]
        stack.callback(self._stop)
        for _ in range(_INSTANCES - 1):
            self._services.append(start_service(self._world.folder, **self._world.settings))
        self._load = Load(self._world)

    def run(self, name: str, case: Case) -> Figures:
        """Let the primary fail, promote its standby, and return what the clients have seen."""
        stalled_at = math.inf
        if case.is_synchronous:
            self._old.require_standby()
        with self._clients():
            if not case.is_synchronous:
                self._old.wait_for_standby()
                stalled_at = time.monotonic()
                self._old.stall_standby()
                time.sleep(_STALL_SECONDS)
            if case.is_frozen:
                self._old.signal(signal.SIGSTOP)
            else:
                self._old.kill()
            failed_at = time.monotonic()
            time.sleep(_PROMOTION_SECONDS)
            promoted_at = time.monotonic()
            self._new.promote()
            self._wait_for_requests()
            if case.is_frozen:
                self._old.signal(signal.SIGCONT)
            if case.returns:
                self._old.start()
            if case.is_frozen or case.returns:
                self._wait_for_second_primary()
        if case.returns:
            self._restart()
            with self._clients():
                pass
        return Figures(
            name,
            _INSTANCES * _WORKERS,
            self._load.requests,
            stalled_at,
            failed_at,
            promoted_at,
            self._lost_actions(),
            self._load.lost_sessions(self._services[-1].base_url),
        )

    @contextlib.contextmanager
    def _clients(self) -> Iterator[None]:
        """Load all workers until the block ends, also for some requests before and after it."""
        with contextlib.ExitStack() as stack:
            workers = [
                to_worker
                for service in self._services
                for to_worker in open_connections(service, CONNECTIONS, _WORKERS)
            ]
            for connection in (each for to_worker in workers for each in to_worker):
                stack.callback(connection.close)
            stack.enter_context(self._load.running(workers))
            self._wait_for_requests()
            yield
            self._wait_for_requests()

    def _wait_for_requests(self) -> None:
        self._load.wait_for(_REQUESTS, _INSTANCES * _WORKERS)

    def _wait_for_second_primary(self) -> None:
        """Wait until each worker has seen that both servers accept connections."""

        def is_seen() -> bool:
            return all(
                sum(line["event"] == "database_two_primaries" for line in service.log_lines())
                >= _WORKERS
                for service in self._services
            )

        wait_until(is_seen, "all workers see two primaries", pause=0.5)

    def _restart(self) -> None:
        """Restart an instance, which then knows nothing of the failover."""
        self._services[0].stop()
        bind = self._services[0].base_url.removeprefix("http://")
        settings = {**self._world.settings, "TOKENSVC_BIND": bind}
        self._services[0] = start_service(self._world.folder, **settings)

    def _lost_actions(self) -> set[str]:
        """Return the users whose acknowledged action the new primary lacks."""
        query = "SELECT user_id FROM user_standings WHERE epoch > 0"
        with self._new.connection() as connection:
            kept = {user_id for (user_id,) in connection.execute(query)}
        return {user_id for user_id, _ in self._load.refused if user_id not in kept}

    def _stop(self) -> None:
        for service in self._services:
            service.stop()
