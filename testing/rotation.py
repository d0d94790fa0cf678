"""A running service whose Stream keys are rotated over HTTP, beside a Stream that judges tokens."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testing.command_line import run_json
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import (
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
)
from testing.service_clients import basic_header

KEYS = "/v1/stream-keys"


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


@contextlib.contextmanager
def running_world(folder: Path, **settings: str) -> Iterator[World]:
    with (
        StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream,
        running_service(folder, STREAM_BASE_URL=stream.url, **settings) as service,
    ):
        clients = [
            run_json(folder, "clients", "create", name, "--scope", scope, "--vouches", **settings)
            for name, scope in (("ops", "keys:write"), ("backend", "tokens:mint"))
        ]
        operator, backend = (Client(service.base_url, basic_header(each)) for each in clients)
        yield World(folder, service, stream, operator, backend)
