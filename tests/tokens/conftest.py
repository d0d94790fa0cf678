"""A running service with an identity provider, for the tests of the token endpoint."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from testing.doubles.issuer import IssuerDouble
from testing.http_client import Client
from testing.response import Response
from testing.service import Service, running_service
from testing.service_clients import basic, make_client
from tokensvc.clients.state import NewServiceClient
from tokensvc.database.engine import Database
from tokensvc.database.tables import app_standing, user_standings


@dataclass
class World:
    """The service, its database and its identity provider."""

    service: Service
    issuer: IssuerDouble
    database: Database
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(self.service.base_url)

    def mint(self, *, bearer: str | None = None, **options: Any) -> Response:
        """Request a token with a provider's token, by default that of `john`."""
        headers = {"Authorization": f"Bearer {bearer or self.issuer.token()}"}
        return self.client.post(
            "/v1/token", headers={**headers, **options.pop("headers", {})}, **options
        )

    def mint_as_service(self, client: NewServiceClient, **body: Any) -> Response:
        """Request a token with Basic credentials."""
        return self.client.post("/v1/token", headers=basic(client), json=body)

    def set_standing(self, user_id: str, **columns: int | None) -> None:
        """Write a user's standing, as a revocation would."""
        with self.database.write() as tx:
            tx.execute(user_standings.delete().where(user_standings.c.user_id == user_id))
            tx.execute(user_standings.insert().values(user_id=user_id, **columns))

    def set_app_standing(self, **columns: int | None) -> None:
        """Write the app's standing."""
        with self.database.write() as tx:
            tx.execute(sa.update(app_standing).values(**columns))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("service")
    with IssuerDouble() as issuer:
        issuer.issuer = "https://id.acme.example"
        with running_service(
            folder,
            TOKENSVC_ISSUERS=json.dumps([issuer.config()]),
            TOKENSVC_LIMITS__MINT="10000/minute",
            TOKENSVC_LIMITS__FAILURES="10000/minute",
        ) as service:
            database = Database.open(f"sqlite:///{folder / 'tokensvc.db'}", pool_size=1)
            yield World(service, issuer, database)
            database.close()


@pytest.fixture(scope="module")
def service_client(world: World) -> NewServiceClient:
    """Create a client that may mint."""
    return make_client(world.database, "backend", "tokens:mint")


@pytest.fixture(scope="module")
def vouching_client(world: World) -> NewServiceClient:
    """Create a client that vouches for sign-ins."""
    return make_client(world.database, "voucher", "tokens:mint", vouches=True)


@pytest.fixture(scope="module")
def powerless_client(world: World) -> NewServiceClient:
    """Create a client without the scope to mint."""
    return make_client(world.database, "reader", "users:read")
