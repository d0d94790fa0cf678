"""The compared systems, each with its own gunicorn and the same settings."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench import credentials
from bench.process_group import ProcessGroup
from bench.revoked import revoke
from testing.service import ROOT, free_port

STREAM_API_KEY = "bench7k3q9z2"
STREAM_API_SECRET = "a-stream-secret-for-the-bench-of-48-characters.."
_DATABASE = "tokensvc.db"
_TIMEOUT = 30.0


class StartError(Exception):
    """A system did not start."""


@dataclass(frozen=True, slots=True)
class System:
    """
    A compared system.

    Attributes:
        name: Name in the table.
        app: Application of gunicorn.
        config: Location of gunicorn's settings.
        revoked_users: Number of revoked users in its database; none for a peer.
    """

    name: str
    app: str
    config: str
    revoked_users: int = 0


_PEER_CONFIG = "python:bench.peers.gunicorn_conf"
_SERVICE_CONFIG = "python:tokensvc.gunicorn_conf"
SERVICE = System("tokensvc", "tokensvc.wsgi:app", _SERVICE_CONFIG, revoked_users=1_000)
CROWDED = System("  1,000,000 revoked users", "tokensvc.wsgi:app", _SERVICE_CONFIG, 1_000_000)
BARE = System("bare Flask route", "bench.peers.bare:app", _PEER_CONFIG)
BY_HAND = System("Flask + PyJWT + stream-chat", "bench.peers.by_hand:app", _PEER_CONFIG)


@dataclass(frozen=True, slots=True)
class Running:
    """
    A started system.

    Attributes:
        port: Port on the loopback interface.
        group: Processes of gunicorn and its workers.
        started_at: Time of the start, from `time.perf_counter`.
        log: File with its standard error.
    """

    system: System
    port: int
    group: ProcessGroup
    started_at: float
    log: Path

    def log_tail(self) -> str:
        """Return the end of the log."""
        return _tail(self.log)


class Stage:
    """
    A starter of systems with one environment.

    Args:
        folder: Folder of their databases and logs.
        public_key_file: File with the key of the identity provider.
        workers: Number of workers of each gunicorn.
    """

    def __init__(self, folder: Path, public_key_file: Path, workers: int) -> None:
        self._folder = folder
        self._public_key_file = public_key_file
        self._workers = workers
        self._gunicorn_settings = self._read_gunicorn_settings()

    @contextlib.contextmanager
    def running(self, system: System) -> Iterator[Running]:
        """Run a system until the block ends."""
        port = free_port()
        home = self._home()
        environ = self._environ(home, port)
        log = home / "stderr.log"
        started_at = time.perf_counter()
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-c", system.config, system.app],
                cwd=ROOT,
                env={**environ, "BENCH_GUNICORN_SETTINGS": self._gunicorn_settings},
                stdout=stderr,
                stderr=stderr,
                start_new_session=True,
            )
        try:
            _wait_until_listening(port, process, log)
            if system.revoked_users:
                revoke(home / _DATABASE, system.revoked_users)
            yield Running(system, port, ProcessGroup(process.pid), started_at, log)
        finally:
            _stop(process)

    def _read_gunicorn_settings(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bench.peers.service_settings"],
            cwd=ROOT,
            env=self._environ(self._home(), free_port()),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StartError(f"the service's gunicorn settings cannot be read:\n{done.stderr}")
        return done.stdout

    def _home(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))

    def _environ(self, home: Path, port: int) -> dict[str, str]:
        issuer = {
            "name": "bench",
            "issuer": credentials.ISSUER,
            "audience": credentials.AUDIENCE,
            "public_keys_file": str(self._public_key_file),
        }
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "STREAM_API_KEY": STREAM_API_KEY,
            "STREAM_API_SECRET": STREAM_API_SECRET,
            "TOKENSVC_PUBLIC_URL": "https://bench.example",
            "TOKENSVC_DATABASE_URL": f"sqlite:///{home / _DATABASE}",
            "TOKENSVC_BIND": f"127.0.0.1:{port}",
            "TOKENSVC_WORKERS": str(self._workers),
            "TOKENSVC_ISSUERS": json.dumps([issuer]),
            # Counted for each request, and never exceeded.
            "TOKENSVC_LIMITS__MINT": "1000000/minute",
            "TOKENSVC_LOG__FORMAT": "json",
            "BENCH_ISSUER": credentials.ISSUER,
            "BENCH_AUDIENCE": credentials.AUDIENCE,
            "BENCH_PUBLIC_KEY_FILE": str(self._public_key_file),
        }


def _wait_until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        time.sleep(0.005)
    raise StartError(f"{process.args!r} does not listen:\n{_tail(log)}")


def _tail(log: Path) -> str:
    return log.read_text()[-4000:]


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
