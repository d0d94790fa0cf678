"""The systems that are compared, each under a gunicorn of its own with the same settings."""

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

ROOT = Path(__file__).resolve().parent.parent
STREAM_API_KEY = "bench7k3q9z2"
STREAM_API_SECRET = "a-stream-secret-for-the-bench-of-48-characters.."
_DATABASE = "tokensvc.db"
_TIMEOUT = 30.0


class StartError(Exception):
    """A system did not start."""


@dataclass(frozen=True, slots=True)
class System:
    """
    One of the things compared.

    Attributes:
        name: In the table.
        app: What gunicorn serves.
        config: Where gunicorn's settings are.
        revoked_users: Written into its database before it is measured; a peer has none.
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
    A system that was started.

    Attributes:
        port: On the loopback.
        group: gunicorn and its workers.
        started_at: Of `time.perf_counter`.
        log: What it wrote to standard error.
    """

    system: System
    port: int
    group: ProcessGroup
    started_at: float
    log: Path

    def log_tail(self) -> str:
        """Give the end of the log."""
        return _tail(self.log)


class Stage:
    """
    Starts systems, all with one environment.

    Args:
        folder: Takes their databases and logs.
        public_key_file: Of the identity provider.
        workers: Of each gunicorn.
    """

    def __init__(self, folder: Path, public_key_file: Path, workers: int) -> None:
        self._folder = folder
        self._public_key_file = public_key_file
        self._workers = workers
        self._gunicorn_settings = self._read_gunicorn_settings()

    @contextlib.contextmanager
    def running(self, system: System) -> Iterator[Running]:
        """Run a system until the block ends."""
        port = _free_port()
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
            env=self._environ(self._home(), _free_port()),
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
            # Counted for each request, and never reached.
            "TOKENSVC_LIMITS__MINT": "1000000/minute",
            "TOKENSVC_LOG__FORMAT": "json",
            "BENCH_ISSUER": credentials.ISSUER,
            "BENCH_AUDIENCE": credentials.AUDIENCE,
            "BENCH_PUBLIC_KEY_FILE": str(self._public_key_file),
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
