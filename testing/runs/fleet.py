"""The service as it is deployed, its Stream, its identity provider, and a line to every worker."""

import contextlib
import json
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.doubles.stream_tokens import StreamError
from testing.postgres import PostgresServer
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, Service, running_service
from testing.service_clients import basic, make_client
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault
from tokensvc.stream.api import rfc3339

CLOCK_AHEAD = {"https://id.acme.example": 2, "https://exact.acme.example": 0}
"""Seconds past a cut-off from which a sign-in counts, by identity provider."""
PROVIDER, EXACT_PROVIDER = CLOCK_AHEAD
CUT_OFF = "revoke_tokens_issued_before"

_WORKERS = 2
_PATIENCE = 60.0
_OPERATOR = ("users:read", "revocations:write", "app:write")


@dataclass(frozen=True, slots=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    json: Any

    @property
    def code(self) -> str:
        """The code of a refusal, or `minted`."""
        return "minted" if self.status == 200 else str(self.json["code"])


class Line:
    """
    One kept-alive connection. A request and the wait for its answer are two steps.

    Args:
        port: On the loopback.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _PATIENCE)
        self.local_port: int = self._socket.getsockname()[1]

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> Self:
        content = json.dumps(body).encode() if body is not None else b""
        fields = {"Host": "localhost", "Content-Length": str(len(content)), **headers}
        if content:
            fields["Content-Type"] = "application/json"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        self._socket.sendall("\r\n".join((*lines, "", "")).encode() + content)
        return self

    def answer(self) -> Response:
        response = HTTPResponse(self._socket)
        response.begin()
        content = json.loads(response.read())
        return Response(response.status, dict(response.headers), content)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> Response:
        return self.send(method, path, headers, body).answer()

    def close(self) -> None:
        self._socket.close()


@dataclass
class Fleet:
    """
    Instances that share a database.

    Attributes:
        operator: The header of a client that may revoke.
        voucher: Of one that mints, and whose word is a fresh sign-in.
        lines: By worker, one connection for each thing that is to go on beside another.
    """

    services: list[Service]
    stream: StreamDouble
    issuer: IssuerDouble
    operator: dict[str, str]
    voucher: dict[str, str]
    lines: list[list[Line]]

    def sign_in(
        self, user_id: str, at: int | None = None, provider: str = PROVIDER
    ) -> dict[str, str]:
        """Give the header of a user who has signed in, by default an hour ago."""
        signed_in_at = int(time.time()) - 3600 if at is None else at
        token = self.issuer.token(sub=user_id, auth_time=signed_in_at, iss=provider)
        return {"Authorization": f"Bearer {token}"}

    def know(self, user_id: str) -> None:
        """Let Stream have a user."""
        self.stream.app.users[user_id] = {"id": user_id}

    def refusal(self, token: str) -> int | None:
        """Give the code with which Stream refuses a token, or `None` where it takes it."""
        try:
            self.stream.app.authenticate(STREAM_API_KEY, "jwt", token)
        except StreamError as error:
            return error.code
        return None

    def wait_for_delivery(self, cut_offs: Mapping[str, int]) -> None:
        """Wait until Stream holds these cut-offs, by user."""
        waiting = dict(cut_offs)
        deadline = time.monotonic() + _PATIENCE
        while waiting:
            assert time.monotonic() < deadline, f"Stream was not told of {len(waiting)} cut-offs"
            users = self.stream.app.users
            waiting = {
                user_id: cut_off
                for user_id, cut_off in waiting.items()
                if users[user_id].get(CUT_OFF) != rfc3339(cut_off)
            }
            time.sleep(0.05)


@contextlib.contextmanager
def running_fleet(
    database: str, *, lines: int, workers: int = _WORKERS, **settings: str
) -> Iterator[Fleet]:
    """
    Run instances until the block ends.

    Args:
        database: `sqlite`, one instance; `postgresql`, two of them.
        lines: To each worker.
        workers: Of each instance.
        settings: Environment variables beside the usual ones.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-run-")))
        stream = stack.enter_context(StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}))
        issuer = stack.enter_context(IssuerDouble())
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_WORKERS": str(workers),
            "TOKENSVC_ISSUERS": json.dumps(_issuers(issuer.jwks_uri)),
            "TOKENSVC_SHARED_USER_IDS": "true",
            "TOKENSVC_LIMITS__MINT": "1000000/minute",
            "TOKENSVC_LIMITS__SERVICE": "1000000/minute",
            **settings,
        }
        url = f"sqlite:///{folder / 'tokensvc.db'}"
        if database == "postgresql":
            server = PostgresServer()
            stack.callback(server.remove)
            url = server.fresh_url()
            settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([Vault.generate_key()])
        settings["TOKENSVC_DATABASE_URL"] = migrated(url)
        shared = Database.open(url, pool_size=1)
        stack.callback(shared.close)
        services = [
            stack.enter_context(running_service(folder, **settings))
            for _ in range(2 if database == "postgresql" else 1)
        ]
        operator = basic(make_client(shared, "operator", *_OPERATOR))
        voucher = basic(make_client(shared, "voucher", "tokens:mint", vouches=True))
        connected = [held for service in services for held in _lines(service, lines, workers)]
        stack.callback(lambda: [line.close() for held in connected for line in held])
        yield Fleet(services, stream, issuer, operator, voucher, connected)


def migrated(url: str) -> str:
    """Give a database the schema, and its URL back."""
    database = Database.open(url, pool_size=1)
    try:
        schema.migrate(database)
    finally:
        database.close()
    return url


def _issuers(jwks_uri: str) -> list[dict[str, Any]]:
    return [
        {
            "name": f"provider-{number}",
            "issuer": issuer,
            "audience": "chat",
            "jwks_uri": jwks_uri,
            "clock_ahead": clock_ahead,
        }
        for number, (issuer, clock_ahead) in enumerate(CLOCK_AHEAD.items())
    ]


def _lines(service: Service, count: int, workers: int) -> list[list[Line]]:
    """Connect until there are so many lines to each worker: they share one socket to listen on."""
    port = int(service.base_url.rpartition(":")[2])
    deadline = time.monotonic() + _PATIENCE
    while len(pids := service.worker_pids()) < workers:
        assert time.monotonic() < deadline, "a worker does not start"
        time.sleep(0.02)
    held: dict[int, list[Line]] = {pid: [] for pid in pids}
    while any(len(lines) < count for lines in held.values()):
        assert time.monotonic() < deadline, "a worker takes no connection"
        line = Line(port)
        line.ask("GET", "/healthz", {})
        lines = held[_worker_at_the_end_of(line, port, pids)]
        if len(lines) < count:
            lines.append(line)
        else:
            line.close()
    return list(held.values())


def _worker_at_the_end_of(line: Line, port: int, pids: list[int]) -> int:
    """Give the process that holds the other end of a connection (proc(5), /proc/net/tcp)."""
    ends = (f":{port:04X}", f":{line.local_port:04X}")
    for entry in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = entry.split()
        if fields[1].endswith(ends[0]) and fields[2].endswith(ends[1]):
            target = f"socket:[{fields[9]}]"
            return next(pid for pid in pids if target in _files(pid))
    raise AssertionError("the connection is gone")


def _files(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(file.readlink())
