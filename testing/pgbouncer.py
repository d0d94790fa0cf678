"""PgBouncer in transaction mode, in front of a PostgreSQL server."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import sqlalchemy as sa

from testing.service import free_port
from testing.waiting import wait_until

_PATH = f"{os.environ['PATH']}:/usr/sbin"
TRACKING = shutil.which("pgbouncer-newer", path=_PATH)
"""Program that keeps track of prepared statements; `None` without `.ci/newer-pgbouncer`."""
OTHER = shutil.which("pgbouncer", path=_PATH)
"""Program that does not (1.18); `None` if it is not installed (Debian: `apt-get install`)."""

_CONFIGURATION = """
[databases]
{name} = host={folder} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
"""


@contextlib.contextmanager
def pooled(program: str, url: str, *, connections: int, port: int | None = None) -> Iterator[str]:
    """
    Run a pooler until the block ends. Yield the URL of the database behind it.

    Args:
        program: `TRACKING` or `OTHER`.
        url: URL of a database of `PostgresServer`.
        connections: Maximum number of the pooler's connections, which all clients share.
        port: Port to listen on; `None` for an unused one.
    """
    database = sa.make_url(url)
    socket_folder, port = Path(str(database.query["host"])), port or free_port()
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)
    configuration = folder / "pgbouncer.ini"
    configuration.write_text(
        _CONFIGURATION.format(
            name=database.database, folder=socket_folder, port=port, connections=connections
        )
    )
    # It refuses to run as root, and only the server's user reaches the socket.
    owner = socket_folder.stat().st_uid if os.geteuid() == 0 else None
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, configuration], user=owner, stdout=output, stderr=subprocess.STDOUT
        )
    pooled_url = f"postgresql://postgres@127.0.0.1:{port}/{database.database}"
    try:
        wait_until(lambda: _responds(pooled_url), "PgBouncer responds")
        yield pooled_url
    finally:
        process.kill()  # newer versions wait for their clients on SIGTERM
        process.wait()
        shutil.rmtree(folder)


def _responds(url: str) -> bool:
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
        return True
    return False
