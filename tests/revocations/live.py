"""A running service with two identity providers and a Stream, and backends of every scope."""

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
"""Of the providers and of services, by default: a sign-in counts from so long past a cut-off on."""


@dataclass
class World:
    """
    The service and everybody around it.

    Attributes:
        issuer: Says when its users signed in.
        silent: Says only when it issued a token; its users' ids begin with `silent-`.
        operator: May do everything that is tested here, and mint nothing.
        backend: Mints for users that it signs in itself.
        voucher: Mints, and its word is a fresh sign-in.
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
        """Give a service client that may do this."""
        created = make_client(self.database, name, *scopes, vouches=vouches)
        return Client(self.service.base_url, basic(created))

    def signed_in(self, user_id: str, at: int | None = None) -> Client:
        """Give a user who has signed in, at a time or just now."""
        token = self.issuer.token(sub=user_id, auth_time=int(time.time()) if at is None else at)
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def signed_in_silently(self, user_id: str, at: int) -> Client:
        """Give a user of the provider that renews tokens without a sign-in."""
        token = self.silent.token(sub=user_id.removeprefix("silent-"), auth_time=None, iat=at)
        return Client(self.service.base_url, {"Authorization": f"Bearer {token}"})

    def revoke(self, user_id: str, **options: Any) -> Response:
        return self.operator.post(f"/v1/users/{user_id}/revocations", **options)

    def undo(self, user_id: str, act_id: str, **options: Any) -> Response:
        path = f"/v1/users/{user_id}/revocations/{act_id}"
        return self.operator.request("DELETE", path, **options)

    def suspend(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("PUT", f"/v1/users/{user_id}/suspension", **options)

    def reinstate(self, user_id: str, **options: Any) -> Response:
        return self.operator.request("DELETE", f"/v1/users/{user_id}/suspension", **options)

    def state(self, user_id: str) -> dict[str, Any]:
        state: dict[str, Any] = self.operator.get(f"/v1/users/{user_id}").json
        return state

    def make_stream_user(self, user_id: str) -> None:
        """Let Stream have a user, as their first connection does."""
        self.stream.app.users[user_id] = {"id": user_id}


def minted(user: Client, **body: Any) -> Response:
    """Ask for a token, again as long as the answer is to come back in a second."""
    while True:
        answer = user.post("/v1/token", json=body)
        if answer.status != 503:
            return answer
        assert answer.headers["Retry-After"] == "1"
        time.sleep(0.1)


def claims(answer: Response) -> dict[str, Any]:
    """Give what a minted token says."""
    assert answer.status == 200, answer.text
    found: dict[str, Any] = jwt.decode(answer.json["token"], STREAM_API_SECRET, ["HS256"])
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
