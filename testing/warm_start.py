"""Start Python programs without the time that imports take; see `warm_server`."""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from testing.warm_server import MAX_MESSAGE

_starting = threading.Lock()
_ROOT = Path(__file__).resolve().parent.parent
_SECONDS = 60.0
_paths: list[str] = []
"""Path of the socket of this process's server, once it has been started."""


class Program:
    """
    A started program, used like a `subprocess.Popen`.

    Args:
        command: Path of a Python script, or `-m` and a module, and the arguments.
        cwd: Folder in which it runs.
        env: Its environment.
        python: Path that it finds as `sys.executable`; by default that of this process.
        stdin: Descriptor of its standard input; `None` for an empty one.
        stdout: Descriptor of its standard output; `None` for that of this process.
        stderr: Descriptor of its standard errors; `None` for those of this process.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str],
        python: str | Path = sys.executable,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.returncode: int | None = None
        self._polling = threading.Lock()
        self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._connection.connect(server_path())
        request = {
            "command": [*map(str, command)],
            "cwd": str(cwd),
            "environ": dict(env),
            "python": str(python),
        }
        with Path(os.devnull).open() as empty:
            files = (
                empty.fileno() if stdin is None else stdin,
                1 if stdout is None else stdout,
                2 if stderr is None else stderr,
            )
            socket.send_fds(self._connection, [json.dumps(request).encode()], files)
        self.pid = int(self._connection.recv(MAX_MESSAGE))

    def poll(self) -> int | None:
        """Return the exit status, negative for a signal, if the program has ended."""
        if self._polling.acquire(blocking=False):  # otherwise another thread waits for the end
            self._receive_status(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the program has ended, at most for some seconds. Return its exit status."""
        self._polling.acquire()
        self._receive_status(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"program {self.pid}", timeout or 0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask the program to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the program."""
        self.send_signal(signal.SIGKILL)

    def _receive_status(self, timeout: float | None) -> None:
        try:
            if self.returncode is None:
                self._connection.settimeout(timeout)
                self.returncode = int(self._connection.recv(MAX_MESSAGE))
                self._connection.close()
        except (BlockingIOError, TimeoutError):
            pass
        finally:
            self._polling.release()


def run_program(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, at most for a minute. Return its exit status and output."""
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(stdin)
        given.seek(0)
        program = Program(
            command,
            cwd=cwd,
            env=env,
            stdin=given.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
        )
        try:
            status = program.wait(_SECONDS)
        finally:
            program.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(command, status, out.read(), err.read())


def server_path() -> str:
    """Return the path of the socket of this process's server, which ends with this process."""
    with _starting:
        if not _paths:
            _paths.append(_start_server())
    return _paths[0]


def _start_server() -> str:
    path = str(Path(tempfile.mkdtemp(prefix="warm-")) / "socket")
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "testing.warm_server", path],
        cwd=_ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C ends the tests, which then end the programs
    )
    atexit.register(server.communicate)  # the end of its input
    assert server.stdout is not None
    assert server.stdout.readline()
    return path
