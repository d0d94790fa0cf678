"""The service clients on either database, with a clock that a test sets, and over HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import urllib3

from testing.http_client import Answer, Client
from testing.service import Service, running_service
from testing.service_clients import basic, make_client
from tokensvc.audit.service import AuditTrail
from tokensvc.clients.administration import ClientAdministration
from tokensvc.clients.service import Clients
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database

CLIENTS = "/v1/clients"
MANY = 12
"""Requests, each on a connection of its own, so that both workers get some."""


@pytest.fixture
def clients(database, clock):
    """Give who authenticates."""
    return Clients(database, clock)


@pytest.fixture
def administration(database, clock):
    """Give the acts on clients."""
    return ClientAdministration(database, clock)


@pytest.fixture
def trail(database, clock):
    """Give what is said of the acts."""
    return AuditTrail(database, DatabaseClock(database, clock), 86400)


@dataclass
class World:
    """The service, and a client that may manage others and mint."""

    service: Service
    database: Database
    manager: Client

    def create(self, name: str, *scopes: str, **more: Any) -> dict[str, Any]:
        answer = self.manager.post(CLIENTS, json={"name": name, "scopes": scopes, **more})
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json
        return created

    def client_of(self, client_id: str, secret: str) -> Client:
        headers = urllib3.make_headers(basic_auth=f"{client_id}:{secret}")
        return Client(self.service.base_url, headers)

    def mint(self, client_id: str, secret: str) -> Answer:
        """Ask for a token, on a connection of its own."""
        return self.client_of(client_id, secret).post("/v1/token", json={"user_id": "john"})

    def mint_everywhere(self, client_id: str, secret: str) -> set[int]:
        return {self.mint(client_id, secret).status for _ in range(MANY)}

    def events(self) -> list[Any]:
        clock = DatabaseClock(self.database, system_clock)
        return AuditTrail(self.database, clock, 86400).page(limit=200, filters={})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("service")
    with running_service(
        folder, TOKENSVC_WORKERS="2", TOKENSVC_LIMITS__FAILURES="10000/minute"
    ) as service:
        database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
        made = make_client(database, "manager", "clients:write", "tokens:mint")
        yield World(service, database, Client(service.base_url, basic(made)))
        database.close()
