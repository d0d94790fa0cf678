"""Processes that refresh the sessions of one database, as the workers of a service do."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Barrier
from typing import Any

from testing.processes import FORK_SERVER
from testing.sessions import ENCRYPTION_KEY, sessions_on
from tokensvc.core.clock import system_clock
from tokensvc.core.errors import OAuthError, Refusal
from tokensvc.database.engine import Database
from tokensvc.sessions.service import Sessions
from tokensvc.vault.vault import Vault

PROCESSES = 2
THREADS = 8
"""Threads of each process that refresh at the same moment."""

_SECONDS = 60.0
"""Longest wait for the other threads."""


class _Process:
    """What one of the processes has opened."""

    barrier: Barrier
    database: Database | None = None
    sessions: Sessions
    lost: int


_process = _Process()


class SessionProcesses:
    """
    Processes with threads.

    The result of a refresh is the new token, or the internal reason of its refusal.

    Args:
        count: Number of processes.
    """

    def __init__(self, count: int = PROCESSES) -> None:
        self._barrier = FORK_SERVER.Barrier(count * THREADS + 1)
        self._processes = [
            ProcessPoolExecutor(1, FORK_SERVER, initializer=_begin, initargs=(self._barrier,))
            for _ in range(count)
        ]

    def open(self, url: str) -> None:
        """Open a database in each process."""
        for process in self._processes:
            process.submit(_open, url, ENCRYPTION_KEY).result()

    def refresh(self, number: int, token: str, client_id: str = "app") -> str:
        """Present a token to one of the processes."""
        return self._processes[number].submit(_refresh, token, client_id).result()

    def race(
        self, races: Sequence[Sequence[str]], action: Callable[[int], object] = lambda _: None
    ) -> list[tuple[str, ...]]:
        """
        Run races one after the other. In each one, all threads present a token at the same moment.

        Args:
            races: The different tokens of each race; the threads take them in turn.
            action: Function that is called with the number of each race while it runs. The next
                race begins after its return.

        Returns:
            Results of each race, by thread.
        """
        columns = [
            [tokens[thread % len(tokens)] for tokens in races]
            for thread in range(len(self._processes) * THREADS)
        ]
        running: list[Future[list[list[str]]]] = [
            process.submit(_race, columns[number * THREADS :][:THREADS])
            for number, process in enumerate(self._processes)
        ]
        for number in range(len(races)):
            self._barrier.wait(_SECONDS)
            action(number)
        results = [column for part in running for column in part.result()]
        return list(zip(*results, strict=True))

    def lost(self) -> int:
        """Return how often a request found that another one had been faster, since `open`."""
        return sum(process.submit(_lost).result() for process in self._processes)

    def die_after_commit(self, number: int, token: str) -> None:
        """Let a signal kill a process after its next commit, before the response."""
        with contextlib.suppress(BrokenProcessPool):
            result = self._processes[number].submit(_die_after_commit, token).result()
            raise AssertionError(f"the process lives, with the result {result}")

    def close(self) -> None:
        """End the processes."""
        for process in self._processes:
            process.shutdown()


@contextlib.contextmanager
def running_processes(count: int = PROCESSES) -> Iterator[SessionProcesses]:
    """Run processes until the block ends."""
    processes = SessionProcesses(count)
    try:
        yield processes
    finally:
        processes.close()


def _begin(barrier: Barrier) -> None:
    _process.barrier = barrier


def _open(url: str, encryption_key: str) -> None:
    if _process.database is not None:
        _process.database.close()
    database = Database.open(url, pool_size=THREADS)
    sessions = sessions_on(database, system_clock, vault=Vault([encryption_key]))
    apply = sessions._apply  # it returns whether another request was faster

    def counted(*arguments: Any) -> bool:
        is_stored = apply(*arguments)
        _process.lost += not is_stored
        return is_stored

    sessions._apply = counted
    _process.database, _process.sessions, _process.lost = database, sessions, 0


def _lost() -> int:
    return _process.lost


def _refresh(token: str, client_id: str = "app") -> str:
    try:
        return _process.sessions.refresh(token, client_id).refresh_token
    except Refusal as refusal:
        if refusal.oauth_error is not OAuthError.INVALID_GRANT:
            return f"{refusal.code}: {refusal.reason or refusal.detail}"
        return refusal.reason


def _race(columns: list[list[str]]) -> list[list[str]]:
    with ThreadPoolExecutor(len(columns)) as pool:
        return list(pool.map(_present, columns))


def _present(tokens: list[str]) -> list[str]:
    barrier, results = _process.barrier, []
    try:
        for token in tokens:
            barrier.wait(_SECONDS)
            results.append(_refresh(token))
    except BaseException:
        barrier.abort()
        raise
    return results


def _die_after_commit(token: str) -> str:
    sessions = _process.sessions
    apply = sessions._apply  # the commit is at its end

    def dying(*arguments: Any) -> bool:
        apply(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    sessions._apply = dying
    return _refresh(token)
