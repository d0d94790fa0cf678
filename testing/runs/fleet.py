"""Instances of the service with their Stream, identity provider and connections to every worker."""

import contextlib
import json
import socket
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from urllib3 import HTTPHeaderDict

from testing.doubles.events import AUDIENCE, logout_token
from testing.doubles.faults import Faults
from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.doubles.stream_tokens import StreamError
from testing.response import Response
from testing.runs.preparation import database_settings, temporary_folder
from testing.service import (
    NO_LIMITS,
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
)
from testing.service_clients import basic, make_client
from testing.sessions import ENCRYPTION_KEY, open_session, sessions_on
from testing.waiting import wait_until
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.standing import store as standings
from tokensvc.stream.api import rfc3339

CLOCK_AHEAD = {"https://id.acme.example": 2, "https://exact.acme.example": 0}
"""Seconds after a cut-off from which a sign-in is accepted, by identity provider."""
PROVIDER, EXACT_PROVIDER = CLOCK_AHEAD
CUT_OFF = "revoke_tokens_issued_before"
REVOKED = 40
"""Stream's error code for a revoked token."""
GONE = 16
"""Stream's error code for a token of a user whom it has deleted."""

_WORKERS = 2
_TIMEOUT = 60.0
_OPERATOR = ("users:read", "users:erase", "revocations:write", "app:write")


def outcome(response: Response) -> str:
    """Return `minted`, or the code of the problem."""
    return "minted" if response.status == 200 else response.code


class Connection:
    """
    A kept-alive connection. Sending a request and receiving the response are separate steps.

    Args:
        port: Port on the loopback interface.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
        self.local_port: int = self._socket.getsockname()[1]

    def send(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> Self:
        """Send a request. The body of an OAuth endpoint or an event is a form, else JSON."""
        is_form = path.startswith("/oauth/") or path.endswith("/events")
        text = "" if body is None else urlencode(body) if is_form else json.dumps(body)
        content = text.encode()
        fields = {"Host": "localhost", "Content-Length": str(len(content)), **headers}
        if content:
            kind = "x-www-form-urlencoded" if is_form else "json"
            fields["Content-Type"] = f"application/{kind}"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
        self._socket.sendall("\r\n".join((*lines, "", "")).encode() + content)
        return self

    def receive(self) -> Response:
        response = HTTPResponse(self._socket)
        response.begin()
        headers = HTTPHeaderDict(response.getheaders())
        return Response(response.status, response.read(), headers)

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: Any = None
    ) -> Response:
        return self.send(method, path, headers, body).receive()

    def close(self) -> None:
        self._socket.close()


def refresh(connection: Connection, refresh_token: str) -> Response:
    """Refresh a session."""
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return connection.request("POST", "/oauth/token", {}, form)


@dataclass
class Fleet:
    """
    Instances that share a database.

    Attributes:
        database: That database.
        operator: Header of a client that can revoke.
        vouching_client: Header of a client that mints and confirms sign-ins itself.
        connections: Connections to each worker, one for each activity at the same time.
    """

    services: list[Service]
    database: Database
    stream: StreamDouble
    issuer: IssuerDouble
    operator: dict[str, str]
    vouching_client: dict[str, str]
    connections: list[list[Connection]]

    def sign_in(
        self, user_id: str, at: int | None = None, provider: str = PROVIDER
    ) -> dict[str, str]:
        """Return the header of a user who has signed in, by default an hour ago."""
        signed_in_at = int(time.time()) - 3600 if at is None else at
        token = self.issuer.token(sub=user_id, auth_time=signed_in_at, iss=provider, sid=user_id)
        return {"Authorization": f"Bearer {token}"}

    def open_session(self, user_id: str) -> str:
        """Open a session of a built-in account. Return its refresh token."""
        sessions = sessions_on(self.database, system_clock)
        with self.database.write() as tx:
            return open_session(tx, sessions, user_id).refresh_token

    def sign_in_here(self, user_id: str, connection: Connection) -> dict[str, str]:
        """Open a session of a built-in account. Return the header with its access token."""
        refreshed = refresh(connection, self.open_session(user_id))
        return {"Authorization": f"Bearer {refreshed.json['access_token']}"}

    def logout(self, user_id: str, provider: str = PROVIDER) -> tuple[str, dict[str, str]]:
        """Return path and body of the event that a user signed out at a provider."""
        token = logout_token(self.issuer, iss=provider, sub=user_id, sid=user_id)
        number = list(CLOCK_AHEAD).index(provider)
        return f"/v1/issuers/provider-{number}/events", {"logout_token": token}

    def create_stream_user(self, user_id: str) -> None:
        self.stream.app.users[user_id] = {"id": user_id}

    def stream_error(self, token: str) -> int | None:
        """Return the code of Stream's error for a token, or `None` if Stream accepts it."""
        try:
            self.stream.app.authenticate(STREAM_API_KEY, "jwt", token)
        except StreamError as error:
            return error.code
        return None

    def wait_for_delivery(self, user_ids: Collection[str]) -> None:
        """Wait until Stream has the cut-offs of users, or has deleted them."""
        users = self.stream.app.users
        with self.database.read() as connection:
            bounds = standings.stream_bounds(connection, user_ids)

        def is_delivered() -> bool:
            return all(
                users[user_id].get(CUT_OFF) == rfc3339(bound) or users[user_id].get("deleted_at")
                for user_id, bound in bounds.items()
            )

        wait_until(is_delivered, "Stream has the cut-offs", pause=0.05)


@contextlib.contextmanager
def running_fleet(
    database: str,
    *,
    connections: int,
    workers: int = _WORKERS,
    faults: Faults | None = None,
    **settings: str,
) -> Iterator[Fleet]:
    """
    Run instances until the block ends.

    Args:
        database: `sqlite` for one instance, `postgresql` for two.
        connections: Number of connections to each worker.
        workers: Number of workers of each instance.
        faults: Failures of calls to Stream.
        settings: Further environment variables.
    """
    with contextlib.ExitStack() as stack:
        folder = temporary_folder(stack)
        keys = {STREAM_API_KEY: STREAM_API_SECRET}
        stream = stack.enter_context(StreamDouble(keys, faults=faults))
        issuer = stack.enter_context(IssuerDouble())
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_WORKERS": str(workers),
            "TOKENSVC_ISSUERS": json.dumps(_issuers(issuer.jwks_uri)),
            "TOKENSVC_SHARED_USER_IDS": "true",
            "TOKENSVC_ACCOUNTS__ENABLED": "true",
            **NO_LIMITS,
            **database_settings(stack, folder, database),
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([ENCRYPTION_KEY]),
            **settings,
        }
        shared = Database.open(settings["TOKENSVC_DATABASE_URL"], pool_size=1)
        stack.callback(shared.close)
        services = [
            stack.enter_context(running_service(folder, **settings))
            for _ in range(2 if database == "postgresql" else 1)
        ]
        operator = basic(make_client(shared, "operator", *_OPERATOR))
        vouching = basic(make_client(shared, "vouching", "tokens:mint", vouches=True))
        opened = [
            to_worker
            for item in services
            for to_worker in open_connections(item, connections, workers)
        ]
        stack.callback(lambda: [item.close() for to_worker in opened for item in to_worker])
        yield Fleet(services, shared, stream, issuer, operator, vouching, opened)


def _issuers(jwks_uri: str) -> list[dict[str, Any]]:
    return [
        {
            "name": f"provider-{number}",
            "issuer": issuer,
            "audience": "chat",
            "jwks_uri": jwks_uri,
            "clock_ahead": clock_ahead,
            "events": {"audience": AUDIENCE, "logout": "user" if clock_ahead else "session"},
        }
        for number, (issuer, clock_ahead) in enumerate(CLOCK_AHEAD.items())
    ]


def open_connections(service: Service, count: int, workers: int) -> list[list[Connection]]:
    """Open `count` connections to each worker. The workers share one listening socket."""
    port = int(service.base_url.rpartition(":")[2])
    wait_until(lambda: len(service.worker_pids()) >= workers, "all workers have started")
    pids = service.worker_pids()
    opened: dict[int, list[Connection]] = {pid: [] for pid in pids}

    def open_one() -> bool:
        connection = Connection(port)
        connection.request("GET", "/healthz", {})
        to_worker = opened[_worker_of(connection, port, pids)]
        if len(to_worker) < count:
            to_worker.append(connection)
        else:
            connection.close()
        return all(len(connections) >= count for connections in opened.values())

    wait_until(open_one, "every worker has its connections", pause=0)
    return list(opened.values())


def _worker_of(connection: Connection, port: int, pids: list[int]) -> int:
    """Return the process at the other end of a connection (proc(5), /proc/net/tcp)."""
    local, remote = f":{port:04X}", f":{connection.local_port:04X}"
    for entry in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = entry.split()
        if fields[1].endswith(local) and fields[2].endswith(remote):
            target = f"socket:[{fields[9]}]"
            return next(pid for pid in pids if target in _files(pid))
    raise AssertionError("the connection is closed")


def _files(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            yield str(file.readlink())
