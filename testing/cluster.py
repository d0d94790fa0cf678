"""A primary of PostgreSQL and its streaming standby, made from the programs of the test wheel."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg

from testing.waiting import wait_until

_SETTINGS = ("fsync=off", "listen_addresses=", "max_connections=80", "wal_keep_size=64")


class ClusterServer:
    """
    A server that tests promote, kill, freeze and start again.

    Attributes:
        folder: Folder of its Unix socket.
    """

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self._programs = programs
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        """Create an empty cluster."""
        self.folder.mkdir()
        self._own(self.folder)
        options = ("--auth=trust", "--no-sync", "--username=postgres", "--encoding=UTF8")
        self._run("initdb", *options, f"--pgdata={self._data}")

    def copy_from(self, primary: "ClusterServer") -> None:
        """Become a standby of another server."""
        self.folder.mkdir()
        self._own(self.folder)
        source = f"host={primary.folder} user=postgres application_name=standby"
        options = ("--no-sync", "--checkpoint=fast", "--write-recovery-conf")
        self._run("pg_basebackup", *options, f"--dbname={source}", f"--pgdata={self._data}")

    def start(self) -> None:
        """Start the server with its data as it is, and wait until it accepts connections."""
        settings = [f"-c{each}" for each in (*_SETTINGS, f"unix_socket_directories={self.folder}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), *settings]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, user=_user(), start_new_session=True
            )
        wait_until(self._accepts, f"the server in {self.folder} accepts connections")

    def promote(self) -> None:
        """Make a standby the primary, and wait until it accepts writes."""
        with self.connection() as connection:
            connection.execute("SELECT pg_promote()")

    def require_standby(self) -> None:
        """Let commits wait for the standby from now on."""
        with self.connection() as connection:
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
            query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
            wait_until(
                lambda: connection.execute(query).fetchone() == (1,), "the standby is synchronous"
            )

    def wait_for_standby(self) -> None:
        """Wait until the standby has everything that this primary has committed."""
        query = "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()"
        with self.connection() as connection:
            wait_until(
                lambda: connection.execute(query).fetchone() == (1,), "the standby has everything"
            )

    def stall_standby(self) -> None:
        """Freeze the process that sends this primary's commits to the standby."""
        with self.connection() as connection:
            for (pid,) in connection.execute("SELECT pid FROM pg_stat_replication"):
                os.kill(int(str(pid)), signal.SIGSTOP)

    def connection(self) -> "psycopg.Connection[tuple[object, ...]]":
        """Connect as an administrator."""
        url = f"host={self.folder} user=postgres dbname=postgres"
        return psycopg.connect(url, autocommit=True)

    def kill(self) -> None:
        """End the server and all its processes without a checkpoint."""
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the server and all its processes."""
        if self._process is None:
            return
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for pid in (self._process.pid, *map(int, children.read_text().split())):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

    def _accepts(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.connection():
            return True
        assert self._process is None or self._process.poll() is None, self._log()
        return False

    def _log(self) -> str:
        return (self.folder / "log").read_text()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=_user())

    def _own(self, path: Path) -> None:
        if (user := _user()) is not None:
            shutil.chown(path, user)


def _user() -> str | None:
    """Return the user of the servers, which refuse to run as root."""
    return "pgserver" if os.geteuid() == 0 else None


@contextlib.contextmanager
def running_cluster(programs: Path) -> Iterator[tuple[ClusterServer, ClusterServer]]:
    """Run a primary and its asynchronous standby until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    primary, standby = (ClusterServer(folder / name, programs) for name in ("a", "b"))
    try:
        primary.create()
        primary.start()
        standby.copy_from(primary)
        standby.start()
        yield primary, standby
    finally:
        for server in (primary, standby):
            server.signal(signal.SIGCONT)
            server.kill()
        shutil.rmtree(folder)
