"""Service clients on both databases with a manual clock, and over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from testing.http_client import Client
from testing.response import Response
from testing.service import NO_LIMITS, Service, running_service
from testing.service_clients import administration_of, basic, make_client
from tokensvc.audit.service import AuditTrail
from tokensvc.clients.service import Clients
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

CLIENTS = "/v1/clients"
MANY = 12
"""Number of requests, each on its own connection, so that both workers get some."""


@pytest.fixture
def clients(database, clock):
    return Clients(database, clock)


@pytest.fixture
def administration(database, clock):
    return administration_of(database, clock)


@pytest.fixture
def trail(database, clock):
    return AuditTrail(database, DatabaseClock(database, clock))


@dataclass
class World:
    """The service, and a client that can manage others and mint."""

    service: Service
    database: Database
    manager: Client

    def create(self, name: str, *scopes: str, **more: Any) -> dict[str, Any]:
        response = self.manager.post(CLIENTS, json={"name": name, "scopes": scopes, **more})
        assert response.status == 201, response.body
        created: dict[str, Any] = response.json
        return created

    def client_of(self, client_id: str, secret: str) -> Client:
        headers = urllib3.make_headers(basic_auth=f"{client_id}:{secret}")
        return Client(self.service.base_url, headers)

    def mint(self, client_id: str, secret: str) -> Response:
        """Request a token on a new connection."""
        return self.client_of(client_id, secret).post("/v1/token", json={"user_id": "john"})

    def mint_everywhere(self, client_id: str, secret: str) -> set[int]:
        return {self.mint(client_id, secret).status for _ in range(MANY)}

    def events(self) -> list[Any]:
        clock = DatabaseClock(self.database, system_clock)
        return AuditTrail(self.database, clock).page(limit=200, filters={})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(folder, TOKENSVC_WORKERS="2", **NO_LIMITS) as service:
        database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
        created = make_client(database, "manager", "clients:write", "tokens:mint")
        yield World(service, database, Client(service.base_url, basic(created)))
        database.close()
