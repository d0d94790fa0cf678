"""An HTTP server next to the work of a process that is not a gunicorn worker."""

import socket
import threading
from typing import Any

from gunicorn.config import Config

from tokensvc.server.hooks import Application, Hooks
from tokensvc.server.ports import check_can_listen, endpoint_of
from tokensvc.server.responder import Responder
from tokensvc.server.threads import ServingThreads

_THREADS = 2
_MAX_CONNECTIONS = 50
_KEEPALIVE_SECONDS = 75.0


class SideServer:
    """
    Serves an application with the loop of the gunicorn worker.

    Args:
        application: WSGI application.
        hooks: Functions of the application.
        address: `host:port`.
        setting: Name of the setting that contains the address.

    Raises:
        CannotListenError: The address cannot be used.
    """

    def __init__(self, application: Application, hooks: Hooks, address: str, setting: str) -> None:
        check_can_listen(address, setting)
        family, endpoint = endpoint_of(address)
        listener = socket.create_server(endpoint, family=family)
        listener.setblocking(False)
        self._woken = threading.Event()
        self._serving = ServingThreads(
            [listener],
            Responder(application, _gunicorn_settings(), hooks),
            threads=_THREADS,
            max_connections=_MAX_CONNECTIONS,
            keepalive=_KEEPALIVE_SECONDS,
            count=lambda: None,
            wake=self._woken.set,
        )
        self._supervisor = threading.Thread(target=self._supervise, name="side-server", daemon=True)

    def start(self) -> None:
        """Start to serve."""
        self._serving.start()
        self._supervisor.start()

    def stop(self) -> None:
        """Stop accepting, and wait until all connections end: 2 seconds if clients are idle."""
        self._serving.stop()
        self._supervisor.join()

    def _supervise(self) -> None:
        while self._serving.are_alive and not self._serving.has_failed:
            self._woken.wait(self._serving.watch())
            self._woken.clear()


def _gunicorn_settings() -> Any:
    settings = Config()
    settings.set("forwarded_allow_ips", "")
    return settings
