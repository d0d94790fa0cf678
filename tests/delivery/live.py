"""The running service with a Stream double, and a backend with all scopes."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from testing.command_line import SCRIPT, Ended, run_command
from testing.doubles.stream import StreamDouble
from testing.http_client import Client
from testing.service import (
    STREAM_API_KEY,
    STREAM_API_SECRET,
    Service,
    running_service,
    settings_environ,
)
from testing.service_clients import basic, make_client
from tokensvc.database.engine import Database

METRICS_TOKEN = "metrics-token-of-operators"
SCOPES = ("users:read", "users:write", "revocations:write", "app:write", "audit:read")
CUT_OFF = "revoke_tokens_issued_before"


@dataclass
class World:
    """The service, its additional settings, its database and its Stream."""

    folder: Path
    settings: dict[str, str]
    service: Service
    stream: StreamDouble
    database: Database
    credentials: dict[str, str]

    @property
    def client(self) -> Client:
        """Return a client of the backend that checks each request against the contract."""
        return Client(self.service.base_url, self.credentials)

    @property
    def environ(self) -> dict[str, str]:
        return settings_environ(self.folder, **self.settings)

    def call(self, method: str, path: str, **headers: str) -> Any:
        """Send a request as the backend, and return the body of the response."""
        response = urllib3.request(
            method,
            self.service.base_url + path,
            headers={**self.credentials, **headers, "Connection": "close"},
            retries=False,
            timeout=20,
        )
        assert response.status == 200, response.data
        return response.json()

    def revoke(self, user_id: str, **headers: str) -> Any:
        return self.call("POST", f"/v1/users/{user_id}/revocations", **headers)

    def readiness(self) -> Any:
        """Return status and body of `/readyz` as an operator sees them."""
        response = urllib3.request(
            "GET",
            f"{self.service.base_url}/readyz",
            headers={"Authorization": f"Bearer {METRICS_TOKEN}", "Connection": "close"},
            retries=False,
        )
        return response.status, response.json()

    def check(self, name: str) -> Any:
        """Return the result of one check of `/readyz`."""
        checks = self.readiness()[1]["checks"]
        return next(check for check in checks if check["name"] == name)

    def command(self, *arguments: str) -> Ended:
        """Run a command with the service's settings."""
        return run_command(self.folder, self.environ, *arguments)

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run `tokensvc worker` until the block ends."""
        with (self.folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                [SCRIPT, "worker"],
                cwd=self.folder,
                env=self.environ,
                stderr=log,
            )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGTERM)
            process.wait(timeout=30)

    def log(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of an event in the service's log."""
        lines = self.service.log_path.read_text().splitlines()
        found = (json.loads(line) for line in lines if line.startswith("{"))
        return [line for line in found if line.get("event") == event]


@contextmanager
def running_world(folder: Path, **settings: str) -> Iterator[World]:
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET}) as stream:
        settings = {
            "STREAM_BASE_URL": stream.url,
            "TOKENSVC_STREAM__DELIVERY": "on",
            "TOKENSVC_METRICS__TOKEN": METRICS_TOKEN,
            "TOKENSVC_LOG__FORMAT": "json",
            **settings,
        }
        with running_service(folder, **settings) as service:
            database = Database.open(
                settings.get("TOKENSVC_DATABASE_URL", f"sqlite:///{folder / 'tokensvc.db'}"),
                pool_size=1,
            )
            client = make_client(database, "backend", *SCOPES)
            yield World(folder, settings, service, stream, database, basic(client))
            database.close()
