"""A running service with two identity providers, Stream, and backends with each scope."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from testing.doubles.issuer import IssuerDouble
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import STREAM_API_KEY, STREAM_API_SECRET, Service, running_service
from testing.service_clients import basic, make_client
from tokensvc.database.engine import Database

SCOPES = ("users:read", "revocations:write", "app:write", "audit:read")
CLOCK_AHEAD = 2
"""Default in seconds: a sign-in is accepted from this long after a cut-off on."""


@dataclass
class World:
    """
    The service, its Stream, identity providers and clients.

    Attributes:
        issuer: Provider whose tokens contain the sign-in time.
        silent: Provider whose tokens contain only their issue time; prefix `silent-`.
        operator: Client with every scope under test, but not for mints.
        backend: Client that mints for the users that it signs in.
        voucher: Vouching client: its mints count as new sign-ins.
    """

    folder: Path
    service: Service
    stream: StreamDouble
    issuer: IssuerDouble
    silent: IssuerDouble
    database: Database

    def __post_init__(self) -> None:
        self.operator = self.client_with("operator", *SCOPES)
        self.backend = self.client_with("backend", "tokens:mint")
        self.voucher = self.client_with("voucher", "tokens:mint", vouches=True)

    def client_with(self, name: str, *scopes: str, vouches: bool = False) -> Client:
        """Return a service client with these scopes."""
        created = make_client(self.database, name, *scopes, vouches=vouches)
        return Client(self.service.base_url, basic(created))

    def signed_in(self, user_id: str, at: int | None = None) -> Client:
        """Return a user who signed in now or at a time."""
        token = self.issuer.token(sub=user_id, auth_time=int(time.time()) if at is None else at)
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def signed_in_silently(self, user_id: str, at: int) -> Client:
        """Return a user of the provider that renews tokens without a sign-in."""
        token = self.silent.token(sub=user_id.removeprefix("silent-"), auth_time=None, iat=at)
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def revoke(self, user_id: str, **options: Any) -> Response:
        return self.operator.post(f"/v1/users/{user_id}/revocations", **options)

    def undo(self, user_id: str, revocation_id: str, **options: Any) -> Response:
        path = f"/v1/users/{user_id}/revocations/{revocation_id}"
        return self.operator.request("DELETE", path, **options)

    def suspend(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("PUT", f"/v1/users/{user_id}/suspension", **options)

    def reinstate(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("DELETE", f"/v1/users/{user_id}/suspension", **options)

    def state(self, user_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.operator.get(f"/v1/users/{user_id}").json
        return state

    def make_stream_user(self, user_id: str) -> None:
        """Create a user at Stream, as their first connection does."""
        self.stream.app.users[user_id] = {"id": user_id}


def minted(user: Client, **body: Any) -> Response:
    """Request a token, again while the response is a 503 of one second."""
    while True:
        response = user.post("/v1/token", json=body)
        if response.status != 503:
            return response
        assert response.headers["Retry-After"] == "1"
        time.sleep(0.1)


def claims(response: Response) -> dict[str, Any]:
    """Return the claims of a minted token."""
    assert response.status == 200, response.text
    found: dict[str, Any] = jwt.decode(response.json["token"], STREAM_API_SECRET, ["HS256"])
    return found


@contextlib.contextmanager
def running_world(folder: Path, **settings: str) -> Iterator[World]:
    with contextlib.ExitStack() as stack:
        stream = stack.enter_context(StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}))
        issuer = stack.enter_context(IssuerDouble())
        silent = stack.enter_context(IssuerDouble())
        issuer.issuer, silent.issuer = "https://id.acme.example", "https://id.silent.example"
        issuers = [
            issuer.config(),
            silent.config(name="silent", sign_in_time="iat", user_id_prefix="silent-"),
        ]
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_ISSUERS": json.dumps(issuers),
            "TOKENSVC_SHARED_USER_IDS": "true",
            "TOKENSVC_LIMITS__MINT": "100000/minute",
            "TOKENSVC_LIMITS__FAILURES": "100000/minute",
            "TOKENSVC_LOG__FORMAT": "json",
            **settings,
        }
        service = stack.enter_context(running_service(folder, **settings))
        url = settings.get("TOKENSVC_DATABASE_URL", f"sqlite:///{folder / 'tokensvc.db'}")
        database = Database.open(url, pool_size=1)
        stack.callback(database.close)
        yield World(folder, service, stream, issuer, silent, database)
