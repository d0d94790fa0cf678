"""The real service for a test: gunicorn with the shipped configuration, on a socket."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import urllib3

ROOT = Path(__file__).resolve().parent.parent
STREAM_API_KEY = "test-api-key"
STREAM_API_SECRET = "test-stream-secret-of-more-than-32-bytes"
START_TIMEOUT = 30.0
POOLS: WeakSet[urllib3.PoolManager] = WeakSet()
"""Of the clients: a connection that is kept would hold up a stop for two seconds."""


def free_port() -> int:
    """
    Give a port that nothing listens on.

    It is a random one below those that the kernel hands out by itself: else a connection or a
    double of a test that runs at the same time could take it before the service binds it.
    """
    while True:
        port = 10_000 + secrets.randbelow(22_000)  # hypothesis seeds random
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def settings_environ(folder: Path, **more: str) -> dict[str, str]:
    """
    Give the environment of a service on SQLite in `folder`; `more` adds or overrides.

    It does not call Stream: what is about deliveries gives it a double and turns them on.
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
    process: subprocess.Popen[bytes]
    log_path: Path

    def log_lines(self) -> list[dict[str, Any]]:
        """Give what it has logged, parsed: every line is JSON."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def worker_pids(self) -> list[int]:
        """Give the process ids of the gunicorn workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def stop(self) -> int:
        """Stop it gracefully and give its exit status."""
        for pool in list(POOLS):
            pool.clear()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=START_TIMEOUT)

    def kill(self) -> None:
        """End the master and its workers at once, as a crash would."""
        for pid in (self.process.pid, *self.worker_pids()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=START_TIMEOUT)


@contextlib.contextmanager
def running_service(folder: Path, **settings: str) -> Iterator[Service]:
    """Run the service until the block ends. `settings` are environment variables."""
    service = start_service(folder, **settings)
    try:
        yield service
    finally:
        service.stop()


def start_service(folder: Path, **settings: str) -> Service:
    """
    Start the service and wait until it is ready.

    Args:
        folder: Takes the database and the log.
        settings: Environment variables beside those of `settings_environ`.
    """
    bind = f"127.0.0.1:{free_port()}"
    environ = settings_environ(
        folder, **{"TOKENSVC_BIND": bind, "TOKENSVC_WORKERS": "1", **settings}
    )
    log_path = folder / f"service-{bind.rpartition(':')[2]}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "gunicorn", "-c", "python:tokensvc.gunicorn_conf", "tokensvc.wsgi:app"),
            ],
            cwd=ROOT,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    service = Service(f"http://{environ['TOKENSVC_BIND']}", process, log_path)
    try:
        _wait_until_ready(service)
    except BaseException:
        process.kill()
        raise
    return service


def _wait_until_ready(service: Service) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            break
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            answer = urllib3.request(
                "GET",
                f"{service.base_url}/healthz",
                headers={"Connection": "close"},
                retries=False,
                timeout=2.0,
            )
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"the service did not start:\n{service.log_path.read_text()}")
