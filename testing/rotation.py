"""A running service whose Stream keys are rotated over HTTP, beside a Stream that judges tokens."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3
from websockets.sync.client import connect

from testing.command_line import run_command
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import (
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
    settings_environ,
)

KEYS = "/v1/stream-keys"


def command(folder: Path, *arguments: str, stdin: str = "", **settings: str) -> Any:
    """Run `tokensvc … --json` on the settings of a service in `folder`, and give what it says."""
    environ = settings_environ(folder, **settings)
    ended = run_command(folder, environ, *arguments, "--json", stdin=stdin)
    assert ended.code == 0, ended.err
    return ended.json


def connects(stream: StreamDouble, minted: dict[str, Any]) -> bool:
    """Connect to Stream as a client does that was built with the answer's key; tell if it may."""
    user = {"id": minted["user_id"]}
    query = urlencode(
        {
            "json": json.dumps({"user_id": minted["user_id"], "user_details": user}),
            "api_key": minted["api_key"],
            "authorization": minted["token"],
            "stream-auth-type": "jwt",
        }
    )
    with connect(f"{stream.url.replace('http', 'ws', 1)}/connect?{query}") as socket:
        return "error" not in json.loads(socket.recv())


@dataclass
class World:
    """The service, its Stream, and an operator with the scope that keys need."""

    folder: Path
    service: Service
    stream: StreamDouble
    operator: Client
    backend: Client

    def add(self, api_key: str, secret: str, **options: Any) -> Response:
        body = {"api_key": api_key, "secret": secret, **options.pop("body", {})}
        return self.operator.post(KEYS, json=body, **options)

    def act(self, key_id: str, act: str, **options: Any) -> Response:
        return self.operator.post(f"{KEYS}/{key_id}/{act}", **options)

    def listed(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.operator.get(KEYS).json["items"]
        return items

    def mint(self, **body: Any) -> Response:
        return self.backend.post("/v1/token", json={"user_id": "john", **body})


def basic(created: dict[str, Any]) -> dict[str, str]:
    """Give the header of a client that `tokensvc clients create` has made."""
    return dict(urllib3.make_headers(basic_auth=f"{created['id']}:{created['secret']}"))


@contextlib.contextmanager
def running_world(folder: Path, **settings: str) -> Iterator[World]:
    with (
        StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream,
        running_service(folder, STREAM_BASE_URL=stream.url, **settings) as service,
    ):
        clients = [
            command(folder, "clients", "create", name, "--scope", scope, "--vouches", **settings)
            for name, scope in (("ops", "keys:write"), ("backend", "tokens:mint"))
        ]
        operator, backend = (Client(service.base_url, basic(each)) for each in clients)
        yield World(folder, service, stream, operator, backend)
