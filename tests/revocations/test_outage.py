"""A service without its database: no mint and no action succeeds until the database is back."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from testing.database_url import migrated_settings
from testing.postgres import PostgresServer
from testing.waiting import wait_until
from testing.world import METRICS_TOKEN, World, minted, running_world


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Yield a server of its own, since the test stops it."""
    own = PostgresServer()
    yield own
    own.remove()


@pytest.fixture
def world(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = migrated_settings(server.fresh_url())
    with running_world(tmp_path_factory.mktemp("outage"), **settings) as running:
        yield running


def gauge(world: World, name: str) -> float:
    """Return a gauge of the only worker."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    families = text_string_to_metric_families(world.anonymous.get("/metrics", headers=headers).text)
    (sample,) = next(family.samples for family in families if family.name == f"tokensvc_{name}")
    return sample.value


def database_gauges(world: World) -> tuple[float, float]:
    """Return whether the database responds, and whether the breaker is open."""
    return gauge(world, "database_up"), gauge(world, "database_breaker_open")


def test_request_without_the_database_gets_503(world: World, server: PostgresServer) -> None:
    """Each worker shows it, and mints as soon as the database is back."""
    ada = world.signed_in("ada")
    assert minted(ada).status == 200
    server.stop()
    try:
        refused = [
            ada.post("/v1/token"),
            world.vouching.post("/v1/token", json={"user_id": "ada"}),
            world.revoke("ada"),
        ]
        wait_until(lambda: world.readiness()[0] == 503, "the next probe")
        # A probe can come between two of the requests, and only the last one opens the breaker.
        wait_until(lambda: database_gauges(world) == (0, 1), "a probe finds the breaker open")
        instance = [world.anonymous.get("/readyz/instance") for _ in range(8)]  # of each worker
    finally:
        server.start()
    assert {(each.status, each.json["status"]) for each in instance} == {(200, "degraded")}
    for response in refused:
        assert (response.status, response.code) == (503, "temporarily_unavailable")
        assert response.headers["Retry-After"] == "5"
    wait_until(lambda: ada.post("/v1/token").status == 200, "mints work again")
    wait_until(lambda: world.readiness()[0] == 200, "the next probe")
    wait_until(lambda: database_gauges(world) == (1, 0), "a probe finds the breaker closed")
    lines = [line for line in world.log("request") if line["status"] == 503]
    assert len(lines) > len(refused)
    assert {line["level"] for line in lines} == {"info"}
    began = world.log("outage_began")
    assert {line["level"] for line in began} == {"warning"}
    causes = [line["cause"] for line in began]
    assert sorted(set(causes)) == sorted(causes)
    assert "database" in causes or "Cannot connect" in causes[0]


def test_missing_table_gets_503_and_names_the_command(world: World) -> None:
    """In the response, the log and doctor, as after a start on an empty or older database."""
    ada = world.signed_in("ada")
    rename = sa.text("ALTER TABLE user_standings RENAME TO hidden")
    with world.database.write() as tx:
        tx.execute(rename)
    try:
        refused = [ada.post("/v1/token"), world.revoke("ada")]
        doctor = world.command("doctor")
    finally:
        with world.database.write() as tx:
            tx.execute(sa.text("ALTER TABLE hidden RENAME TO user_standings"))
    for response in refused:
        assert (response.status, response.code) == (503, "temporarily_unavailable")
        assert "`tokensvc migrate`" in response.json["detail"]
        line = next(
            line
            for line in world.log("request")
            if line["request_id"] == response.json["request_id"]
        )
        assert "run `tokensvc migrate`" in line["reason"]
    assert doctor.code == 1
    assert "run `tokensvc migrate`" in doctor.out
    assert minted(ada).status == 200


def test_missing_table_of_sqlite_gets_503_too(tmp_path) -> None:
    with running_world(tmp_path) as world:
        with world.database.write() as tx:
            tx.execute(sa.text("ALTER TABLE user_standings RENAME TO hidden"))
        refused = world.signed_in("ada").post("/v1/token")
    assert (refused.status, refused.code) == (503, "temporarily_unavailable")
    assert "`tokensvc migrate`" in refused.json["detail"]
