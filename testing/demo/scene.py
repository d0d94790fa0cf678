"""The running parts of the demo: the service, Stream, and the operator's client."""

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
import urllib3

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.service import NO_LIMITS, Service, free_port, start_service
from testing.service_clients import basic, make_client
from tokensvc.database.engine import Database
from tokensvc.standing.tables import user_standings

TOKEN_SECONDS = 60
MINTS = "30/minute"
UNAVAILABLE_SECONDS = 5
SCOPES = ("users:read", "users:erase", "revocations:write", "keys:write")
TIMEOUT = 10.0
"""Seconds for a request to the service."""


class Scene:
    """
    The demo's service and Stream.

    Attributes:
        stream: Double of Stream, which checks tokens as Stream does.
        without_websocket: The same Stream in a network that blocks WebSockets.
        service_url: URL of the service, which stays the same when it is stopped and started.

    Args:
        stream_url: URL of Stream for the service.
    """

    def __init__(
        self,
        folder: Path,
        page_url: str,
        stream: StreamDouble,
        without_websocket: HttpDouble,
        stream_url: str,
    ) -> None:
        self.stream = stream
        self.without_websocket = without_websocket
        host, port = urlsplit(page_url).hostname, free_port()
        self.service_url = f"http://{host}:{port}"
        self._folder = folder
        (api_key, secret), *_ = stream.app.keys.items()
        self._settings = {
            **NO_LIMITS,
            "TOKENSVC_ENVIRONMENT": "development",
            "TOKENSVC_BIND": urlsplit(self.service_url).netloc,
            "TOKENSVC_PUBLIC_URL": f"http://127.0.0.1:{port}",  # http needs a loopback name
            "TOKENSVC_HOSTS__ALLOWED": f'["{host}"]',
            "TOKENSVC_CORS__ORIGINS": f'["{page_url}"]',
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
            "TOKENSVC_LIMITS__MINT": MINTS,
            "TOKENSVC_TOKEN__TTL": str(TOKEN_SECONDS),
            "TOKENSVC_TOKEN__JITTER": "0",
            "TOKENSVC_STREAM__DELIVERY": "on",
            "STREAM_BASE_URL": stream_url,
            "STREAM_API_KEY": api_key,
            "STREAM_API_SECRET": secret,
        }
        self._service: Service | None = None
        self._lock = threading.Lock()
        self.start_service()
        self._database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
        self._credential = basic(make_client(self._database, "operator", *SCOPES))

    @property
    def is_running(self) -> bool:
        """Whether the service runs."""
        return self._service is not None

    def start_service(self) -> None:
        with self._lock:
            if self._service is None:
                self._service = start_service(self._folder, **self._settings)

    def stop_service(self) -> None:
        with self._lock:
            if self._service is not None:
                self._service.stop()
                self._service = None

    def close(self) -> None:
        self._database.close()
        self.stop_service()

    def operate(self, method: str, path: str) -> urllib3.BaseHTTPResponse:
        """
        Send a request of the operator to the service.

        Raises:
            HTTPError: The service does not respond.
        """
        body = None
        if (method, path) == ("POST", "/v1/stream-keys"):
            body = self._new_key()
        return urllib3.request(
            method,
            f"{self.service_url}{path}",
            json=body,
            headers=self._credential,
            retries=False,
            timeout=TIMEOUT,
        )

    def _new_key(self) -> dict[str, str]:
        """Create a key pair at Stream, as its dashboard does."""
        api_key = f"demo-key-{len(self.stream.app.keys) + 1}"
        self.stream.app.keys[api_key] = secrets.token_hex(32)
        return {"api_key": api_key, "secret": self.stream.app.keys[api_key]}

    def make_unavailable(self, user_id: str) -> None:
        """
        Make the service respond 503 to a user for some seconds.

        A cut-off in the future is what the service sees in the second after a revocation, and when
        the clock of its machine was wrong. It then signs nothing.
        """
        floor = int(time.time()) + UNAVAILABLE_SECONDS
        with self._database.write() as tx:
            changed = sa.update(user_standings).filter_by(user_id=user_id).values(floor=floor)
            if tx.execute(changed).rowcount == 0:
                tx.execute(sa.insert(user_standings).values(user_id=user_id, floor=floor))


@contextlib.contextmanager
def running_scene(folder: Path, page_url: str) -> Iterator[Scene]:
    """
    Run the service and Stream until the block ends.

    Args:
        folder: Folder of the database and the log.
        page_url: Origin of the page, which may read the service's responses.
    """
    with contextlib.ExitStack() as stack:
        host = urlsplit(page_url).hostname or ""
        keys = {"demo-key-1": secrets.token_hex(32)}
        stream = stack.enter_context(StreamDouble(keys, host=host))
        without_websocket, of_service = (
            stack.enter_context(HttpDouble(stream.respond, clock=stream.clock, host=listening))
            for listening in (host, "127.0.0.1")  # the service uses http only on this machine
        )
        scene = Scene(folder, page_url, stream, without_websocket, of_service.url)
        stack.callback(scene.close)
        yield scene
