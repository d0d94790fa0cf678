"""The threads around one loop: one of them leads, the others run requests or wait."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from tokensvc.server.connection import Connection
from tokensvc.server.lead import Lead, Member, Role
from tokensvc.server.loop import Loop
from tokensvc.server.responder import Responder

_log = structlog.get_logger(__name__)


class ServingThreads:
    """
    Threads that serve all connections of some listeners.

    Another thread supervises them: it calls `watch`, and again when `wake` is called.

    Args:
        listeners: Non-blocking sockets that listen.
        responder: Makes responses.
        threads: Number of simultaneous requests.
        max_connections: Number of connections that are kept open.
        keepalive: Seconds for which a connection may be idle.
        count: Is called for each request before it runs.
        wake: Function that makes the supervisor call `watch` again.

    Attributes:
        has_failed: Whether a thread has ended with an error.
    """

    def __init__(
        self,
        listeners: Sequence[Any],
        responder: Responder,
        *,
        threads: int,
        max_connections: int,
        keepalive: float,
        count: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self.has_failed = False
        self._wake = wake
        self._this_thread = threading.local()
        self._ended: list[Member[Connection]] = []
        self._on_wait = responder.hooks.on_wait
        self._lead: Lead[Connection] = Lead(wake)
        self._loop = Loop(
            listeners,
            responder,
            self._lead,
            max_connections=max_connections,
            keepalive=keepalive,
            count=count,
        )
        # One more than simultaneous requests: one thread leads while the others wait.
        self._threads = [
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True)
            for number in range(threads + 1)
        ]

    @property
    def steps(self) -> int:
        """Number of polls of the loop. It stops growing if the leader hangs."""
        return self._loop.steps

    @property
    def connections_open(self) -> int:
        """Number of connections."""
        return self._loop.connections_open

    @property
    def busy(self) -> int:
        """Number of threads that run a request."""
        return len(self._threads) - self._lead.waiting()

    @property
    def are_alive(self) -> bool:
        """Whether a thread still serves."""
        return len(self._ended) < len(self._threads)

    def start(self) -> None:
        """Start the threads."""
        self._on_wait(self._give_up_lead)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop accepting, and let the threads end after the received requests."""
        self._loop.stop()

    def watch(self) -> float | None:
        """Pass the lead on if a request has held it for too long; see `Lead.watch`."""
        return self._lead.watch()

    def _serve(self) -> None:
        member = self._this_thread.member = Member[Connection]()
        try:
            while (role := self._lead.claim(member)) is not Role.STOP:
                if role is Role.LEAD:
                    self._loop.lead(member)
                elif member.job is not None:
                    self._loop.run(member.job)
        except Exception:  # noqa: BLE001 - logged, and the worker ends
            # Without a leader no client is served: the process must be replaced.
            _log.exception("worker_thread_failed")
            self.has_failed = True
        finally:
            # `Thread.is_alive` would still be true: the supervisor would not see the last end.
            self._ended.append(member)
            self._wake()

    def _give_up_lead(self) -> None:
        member = getattr(self._this_thread, "member", None)
        if member is not None:
            self._lead.give_up(member)
