"""The real service: gunicorn with the shipped configuration, on a socket."""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3

from testing.database_url import migrated_sqlite_file
from testing.waiting import has_ended, is_available, wait_until
from testing.warm_start import Program
from tokensvc.cli.serve import GUNICORN
from tokensvc.limits.rules import Policy

ROOT = Path(__file__).resolve().parent.parent
STREAM_API_KEY = "test-api-key"
STREAM_API_SECRET = "test-stream-secret-of-more-than-32-bytes"
START_TIMEOUT = 30.0
NO_LIMITS = {f"TOKENSVC_LIMITS__{name.upper()}": "1000000/minute" for name in get_args(Policy)}
"""Settings with limits that no test reaches; every request is counted."""
EVERYTHING = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}
"""Settings with which every route exists."""
POOLS: WeakSet[urllib3.PoolManager] = WeakSet([urllib3._DEFAULT_POOL])
"""Pools of clients. An open connection would delay a stop by two seconds."""

Process = Program | subprocess.Popen[bytes] | subprocess.Popen[str]


def free_port() -> int:
    """
    Return an unused port.

    The port is below those that the kernel assigns. Otherwise a connection or a double of a test
    that runs at the same time could use it before the service does.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)  # hypothesis seeds random
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def settings_environ(folder: Path, **more: str) -> dict[str, str]:
    """
    Return the environment of a service with an SQLite database in `folder`.

    Args:
        folder: Folder of the database.
        more: Further variables. Without them the service does not deliver to Stream.
    """
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),  # this checkout, wherever the environment was installed from
        "TOKENSVC_PUBLIC_URL": "https://tokens.example",
        "TOKENSVC_DATABASE_URL": f"sqlite:///{folder / 'tokensvc.db'}",
        "STREAM_API_KEY": STREAM_API_KEY,
        "STREAM_API_SECRET": STREAM_API_SECRET,
        "TOKENSVC_STREAM__DELIVERY": "off",
        **more,
    }


@dataclass
class Service:
    """A running service."""

    base_url: str
    process: Process
    log_path: Path

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the parsed lines of the log. Every line must be JSON."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def worker_pids(self) -> list[int]:
        """Return the process IDs of the gunicorn workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def reload(self) -> None:
        """Send HUP and wait until new workers respond."""
        before = self.worker_pids()
        self.process.send_signal(signal.SIGHUP)
        self.wait_for_new_workers(before)

    def wait_for_new_workers(self, before: list[int]) -> None:
        """Wait until other workers than those in `before` respond."""

        def are_new() -> bool:
            assert self.process.poll() is None, self.log_path.read_text()
            pids = self.worker_pids()
            return len(pids) == len(before) and not {*pids} & {*before}

        wait_until(are_new, "new workers have started")
        wait_until(lambda: is_available(f"{self.base_url}/healthz"), "new workers respond")

    def stop(self) -> int:
        """Stop the service gracefully. Return its exit status."""
        self._close_connections()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=START_TIMEOUT)

    def _close_connections(self) -> None:
        for key in [*urllib3._DEFAULT_POOL.pools.keys()]:
            if key.key_port == urlsplit(self.base_url).port:  # a test may have kept a response
                urllib3._DEFAULT_POOL.pools[key].close()
        for manager in list(POOLS):
            manager.clear()

    def kill(self) -> None:
        """Kill the master and its workers, as a crash does."""
        pids = (self.process.pid, *self.worker_pids())
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=START_TIMEOUT)
        wait_until(lambda: all(map(has_ended, pids)), "the workers have ended")


@contextlib.contextmanager
def running_service(folder: Path, prefix: Sequence[str] = (), **settings: str) -> Iterator[Service]:
    """Run the service until the block ends. See `start_service`."""
    service = start_service(folder, prefix, **settings)
    try:
        yield service
    finally:
        service.stop()


def start_service(folder: Path, prefix: Sequence[str] = (), **settings: str) -> Service:
    """
    Start the service and wait until it is ready.

    Args:
        folder: Folder of the log and of the database, which is a migrated one if it is missing.
        prefix: Words before the command. They must end with the command in the same process.
        settings: Environment variables in addition to those of `settings_environ`.
    """
    bind = f"127.0.0.1:{free_port()}"
    environ = settings_environ(
        folder, **{"TOKENSVC_BIND": bind, "TOKENSVC_WORKERS": "1", **settings}
    )
    path = folder / "tokensvc.db"
    if environ["TOKENSVC_DATABASE_URL"] == f"sqlite:///{path}" and not path.exists():
        shutil.copy(migrated_sqlite_file(), path)
    log_path = folder / f"service-{bind.rpartition(':')[2]}.log"
    with log_path.open("wb") as log:
        process: Process
        if prefix:
            command = [*prefix, sys.executable, *GUNICORN]
            process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)
        else:
            process = Program(
                GUNICORN, cwd=ROOT, env=environ, stdout=log.fileno(), stderr=log.fileno()
            )
    service = Service(f"http://{environ['TOKENSVC_BIND']}", process, log_path)
    try:
        wait_until_ready(process, f"{service.base_url}/healthz")
    except BaseException as error:
        process.kill()
        error.add_note(log_path.read_text())
        raise
    return service


def wait_until_ready(process: Process, url: str) -> None:
    """Wait until a URL of a process responds with 200. Fail if the process ends."""

    def is_ready() -> bool:
        assert process.poll() is None, f"the process ended with {process.returncode}"
        return is_available(url)

    wait_until(is_ready, f"{url} is available", START_TIMEOUT)
