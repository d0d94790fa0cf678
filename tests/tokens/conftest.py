"""A running service for the tests of the token endpoint."""

from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from testing.response import Response
from testing.service_clients import basic, make_client
from testing.world import World, running_world
from tokensvc.clients.state import NewServiceClient
from tokensvc.standing.tables import app_standing


class TokenWorld(World):
    """A service and requests for tokens."""

    def mint(self, *, bearer: str | None = None, **options: Any) -> Response:
        """Request a token with a provider's token, by default that of `john`."""
        headers = {"Authorization": f"Bearer {bearer or self.issuer.token()}"}
        return self.anonymous.post(
            "/v1/token", headers={**headers, **options.pop("headers", {})}, **options
        )

    def mint_as_service(self, client: NewServiceClient, **body: Any) -> Response:
        """Request a token with Basic credentials."""
        return self.anonymous.post("/v1/token", headers=basic(client), json=body)

    def set_app_standing(self, **columns: int | None) -> None:
        """Write the app's standing without an action."""
        with self.database.write() as tx:
            tx.execute(sa.update(app_standing).values(**columns))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenWorld]:
    with running_world(tmp_path_factory.mktemp("service"), TokenWorld) as running:
        yield running


@pytest.fixture(scope="module")
def service_client(world: TokenWorld) -> NewServiceClient:
    """Create a client that can mint."""
    return make_client(world.database, "shop", "tokens:mint")


@pytest.fixture(scope="module")
def vouching_client(world: TokenWorld) -> NewServiceClient:
    """Create a client that vouches for sign-ins."""
    return make_client(world.database, "confirming", "tokens:mint", vouches=True)


@pytest.fixture(scope="module")
def powerless_client(world: TokenWorld) -> NewServiceClient:
    """Create a client without the scope to mint."""
    return make_client(world.database, "reader", "users:read")
