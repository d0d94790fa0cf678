"""An application with the contract's routes and with views that a test chooses."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import structlog
from flask import Blueprint

from testing.http_client import Client
from tokensvc.http.app import HttpConfig, ServiceApp, make_app
from tokensvc.http.respond import Response, json_response
from tokensvc.ops import routes as ops_routes
from tokensvc.ops.health import Check, ReadinessProbe
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings

METRICS_TOKEN = "metrics-token-of-operators"
METRICS_PORT = 9100
TOKEN = {
    "token": "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoiam9obiJ9.c2lnbmF0dXJl",
    "user_id": "john",
    "api_key": "k1",
    "issued_at": 1_800_000_000,
    "expires_at": 1_800_003_600,
    "expires_in": 3600,
    "user": None,
}

JSON = {"Content-Type": "application/json"}


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body or query with each kind of member."""

    user_id: str | None = None
    auth_time: int | None = None
    api_key: str | None = None
    ttl: int | None = None
    user: dict[str, Any] | None = None


class Probe:
    """The view of `/v1/token` in a test; by default it returns a token."""

    def __init__(self) -> None:
        self.view: Callable[[], Any] = lambda: json_response(TOKEN)
        self.checks: dict[str, Check] = {}

    def app(self, **config: Any) -> ServiceApp:
        """Return an application; `config` as in `HttpConfig`."""
        blueprint = Blueprint("probe", __name__)
        blueprint.get("/v1/token")(self._call)
        blueprint.post("/v1/token", endpoint="post")(self._call)
        blueprint.get("/v1/me", endpoint="me")(_me)
        whole = {"public_url": "https://tokens.example", "metrics_port": METRICS_PORT, **config}
        probe = ReadinessProbe(self.checks, time.monotonic)
        probe.probe()
        ops = ops_routes.routes(probe.last, METRICS_TOKEN)
        return make_app(HttpConfig(**whole), [blueprint, ops])

    def _call(self) -> Any:
        return self.view()


def _me() -> Response:
    return json_response({"user_id": "john", "api_key": "k1", "issuer": "acme"})


@pytest.fixture
def probe() -> Probe:
    return Probe()


@pytest.fixture
def app(probe: Probe) -> ServiceApp:
    return probe.app()


@pytest.fixture
def client(app: ServiceApp) -> Client:
    return Client(app)


class Log:
    """Lines logged since the test began."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def text(self) -> str:
        return self._path.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """Send the log to a file. Request this fixture before the application is created."""
    path = tmp_path / "log"
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    logging.configure(LogSettings(format="json"), fd=fd)
    yield Log(path)
    structlog.reset_defaults()
    os.close(fd)
