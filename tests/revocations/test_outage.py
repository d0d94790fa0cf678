"""A service whose database is away: nothing is minted and no act is answered until it is back."""

import json
from collections.abc import Iterator

import pytest

from testing.postgres import PostgresServer
from tests.revocations.live import World, minted, running_world
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Give a server of one's own, since it is stopped."""
    own = PostgresServer()
    yield own
    own.remove()


@pytest.fixture
def world(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    url = server.fresh_url()
    database = Database.open(url, pool_size=1)
    schema.migrate(database)
    database.close()
    settings = {
        "TOKENSVC_DATABASE_URL": url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
    }
    with running_world(tmp_path_factory.mktemp("outage"), **settings) as running:
        yield running


def test_without_the_database_nothing_is_minted(world: World, server: PostgresServer) -> None:
    """Whoever asks, and whoever was minted for before, is told to come back; then all is well."""
    ada = world.signed_in("ada")
    assert minted(ada).status == 200
    server.stop()
    try:
        refused = [
            ada.post("/v1/token"),
            world.voucher.post("/v1/token", json={"user_id": "ada"}),
            world.revoke("ada"),
        ]
    finally:
        server.start()
    for answer in refused:
        assert (answer.status, answer.code) == (503, "temporarily_unavailable")
        assert answer.headers["Retry-After"] == "5"
    assert minted(ada).status == 200
