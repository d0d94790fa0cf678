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
import time
from typing import Any

import structlog
from gunicorn.glogging import Logger
from gunicorn.workers.base import Worker

from tokensvc.server.hooks import Hooks
from tokensvc.server.responder import Responder
from tokensvc.server.threads import ServingThreads

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
    """
    Serves HTTP/1.1 from one loop; no thread waits for a client.

    Attributes:
        hooks: Functions of the application, which gunicorn's `post_worker_init` must set.
    """

    hooks: Hooks

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
        serving = ServingThreads(
            self.sockets,
            Responder(self.wsgi, self.cfg, self.hooks),
            threads=self.cfg.threads,
            max_connections=_raise_file_limit(self.cfg.worker_connections),
            keepalive=self.cfg.keepalive,
            count=self._count,
            wake=self._wake,
        )
        serving.start()
        self._supervise(serving)

    def _supervise(self, serving: ServingThreads) -> None:
        poller = select.poll()
        poller.register(self.PIPE[0], select.POLLIN)
        steps, next_beat, stop_deadline = 0, 0.0, float("inf")
        while serving.are_alive and not serving.has_failed:
            now = time.monotonic()
            if now >= next_beat:
                next_beat = now + _HEARTBEAT_SECONDS / 2
                if serving.steps != steps:
                    steps = serving.steps
                    self.notify()
                    self.hooks.report_load(serving.busy, serving.connections_open)
                if os.getppid() != self.ppid:
                    self.alive = False
            if not self.alive and stop_deadline == float("inf"):
                stop_deadline = now + self.cfg.graceful_timeout
                serving.stop()
            if now >= stop_deadline:
                return
            next_watch = serving.watch()
            wait = _HEARTBEAT_SECONDS if next_watch is None else next_watch
            if poller.poll(wait * _MILLISECONDS):
                os.read(self.PIPE[0], 4096)

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
    Allow one open file per connection and some more. Log and return the connections that fit.

    No limit is -1 (`resource.RLIM_INFINITY`), which must not be compared as a number.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + _OTHER_FILES
    fitting = connections
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        fitting = max(1, soft - _OTHER_FILES, soft // 4)
    fitting = min(fitting, connections)
    if fitting < connections:
        _log.warning(
            "connections_limited",
            connections=fitting,
            max_connections=connections,
            hint=f"allow this process {needed} open files (ulimit -n, LimitNOFILE)",
        )
    else:
        _log.info("connections_fit", connections=fitting)
    return fitting
