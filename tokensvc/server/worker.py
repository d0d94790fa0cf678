"""
The gunicorn worker: threads around one loop, signals, heartbeat and stop.

The main thread serves no client. It handles signals, reports to the master that the loop makes
progress, and passes the lead on if a request runs for too long.
"""

import contextlib
import logging
import os
import resource
import select
import sys
import threading
import time
from typing import Any

import structlog
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from tokensvc.core import blocking
from tokensvc.core.clock import system_clock
from tokensvc.http.problems import Problems
from tokensvc.server.connection import Connection
from tokensvc.server.lead import Lead, Member, Role
from tokensvc.server.loop import Loop
from tokensvc.server.responder import Responder
from tokensvc.telemetry import gauges

_HEARTBEAT_SECONDS = 1.0
_MILLISECONDS = 1000
_OTHER_FILES = 200
"""Open files other than client connections."""

_log = structlog.get_logger(__name__)


class PropagatingLogger(Logger):  # type: ignore[misc]  # gunicorn is untyped
    """Gunicorn's own lines go where all others go, so that they are redacted and JSON too."""

    def _set_handler(self, log: logging.Logger, *_: Any, **__: Any) -> None:
        log.propagate = True


class LoopWorker(Worker):  # type: ignore[misc]  # gunicorn is untyped
    """Serves HTTP/1.1 from one loop; no thread waits for a client."""

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:  # noqa: ARG003 - gunicorn's
        """Refuse what this worker does not serve."""
        if cfg.is_ssl:
            sys.exit(
                "tokensvc cannot start: its worker does not serve TLS. Remove `certfile` and "
                "`keyfile`, and let a proxy in front end TLS."
            )

    def run(self) -> None:
        """Serve until the master stops this worker."""
        problems = getattr(self.wsgi, "problems", None) or Problems("")
        responder = Responder(self.wsgi, self.cfg, problems, system_clock)
        self._has_failed = False
        self._this_thread = threading.local()
        self._lead: Lead[Connection] = Lead(self._wake)
        self._loop = Loop(
            self.sockets,
            responder,
            self._lead,
            max_connections=_raise_file_limit(self.cfg.worker_connections),
            keepalive=self.cfg.keepalive,
            count=self._count,
        )
        blocking.set_hook(self._may_block)
        # One more than simultaneous requests: one thread leads while the others wait.
        threads = [
            threading.Thread(target=self._serve, name=f"serve-{number}", daemon=True)
            for number in range(self.cfg.threads + 1)
        ]
        for thread in threads:
            thread.start()
        self._supervise(threads)

    def _supervise(self, threads: list[threading.Thread]) -> None:
        poller = select.poll()
        poller.register(self.PIPE[0], select.POLLIN)
        steps, next_beat, stop_deadline = 0, 0.0, float("inf")
        while any(thread.is_alive() for thread in threads) and not self._has_failed:
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + _HEARTBEAT_SECONDS / 2
                if self._loop.steps != steps:
                    steps = self._loop.steps
                    self.notify()
                    busy = len(threads) - self._lead.waiting()
                    gauges.set_worker_load(busy, self._loop.connections_open)
                if os.getppid() != self.ppid:
                    self.alive = False
            if not self.alive and stop_deadline == float("inf"):
                stop_deadline = now + self.cfg.graceful_timeout
                self._loop.stop()
            if now >= stop_deadline:
                return
            next_watch = self._lead.watch()
            wait = _HEARTBEAT_SECONDS if next_watch is None else next_watch
            if poller.poll(wait * _MILLISECONDS):
                os.read(self.PIPE[0], 4096)

    def _serve(self) -> None:
        member = self._this_thread.member = Member[Connection]()
        try:
            while (role := self._lead.claim(member)) is not Role.STOP:
                if role is Role.LEAD:
                    self._loop.lead(member)
                elif member.job is not None:
                    self._loop.run(member.job)
        except Exception:  # noqa: BLE001 - logged, and the worker ends
            # Without a leader no client is served: the master must start another worker.
            _log.exception("worker_thread_failed")
            self._has_failed = True
        self._wake()

    def _may_block(self) -> None:
        member = getattr(self._this_thread, "member", None)
        if member is not None:
            self._lead.give_up(member)

    def _count(self) -> None:
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("Autorestarting worker after current request.")
            self.alive = False
            self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: the main thread is awake
            os.write(self.PIPE[1], b".")


def _raise_file_limit(connections: int) -> int:
    """
    Allow one open file per connection and some more; return the connections that fit, at least 1.

    No limit is -1 (`resource.RLIM_INFINITY`), which must not be compared as a number.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, soft - _OTHER_FILES)
