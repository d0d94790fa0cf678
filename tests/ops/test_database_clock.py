"""A host whose clock differs from its database's; the command that names the wrong one."""

import json
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from testing.server_clock import shift_clock
from testing.world import METRICS_TOKEN, World, running_world
from tokensvc.vault.vault import Vault

HOUR = 3600


@pytest.fixture
def url(migrated_postgres_url: str) -> str:
    """Return the URL of a database that is an hour behind this host."""
    shift_clock(migrated_postgres_url, -HOUR)
    return migrated_postgres_url


@pytest.fixture
def world(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {
        "TOKENSVC_DATABASE_URL": url,
        "TOKENSVC_ENCRYPTION_KEYS": json.dumps([Vault.generate_key()]),
    }
    with running_world(tmp_path_factory.mktemp("clock"), **settings) as running:
        yield running


def seconds_ahead(world: World) -> float:
    """Return the metric of the instance."""
    headers = {"Authorization": f"Bearer {METRICS_TOKEN}"}
    text = world.anonymous.get("/metrics", headers=headers).text
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    (sample,) = families["tokensvc_clock_ahead_seconds"]
    return sample.value


def changes(world: World) -> list[tuple[str, str]]:
    """Return the level and the state of each logged change."""
    lines = [line for line in world.log("readiness_changed") if line["check"] == "database_clock"]
    return [(line["level"], line["state"]) for line in lines]


def test_host_whose_clock_differs_from_the_database_is_degraded_until_it_agrees(
    world: World, url: str
) -> None:
    """It says so once at its start, by how much, and once when the clocks agree."""
    check = world.wait_for_check("database_clock", "degraded")
    assert "this host's clock is 3600 s ahead of the database's" in check["detail"]
    assert world.readiness()[0] == 200
    assert seconds_ahead(world) == pytest.approx(HOUR, abs=1)
    assert changes(world) == [("warning", "degraded")]
    shift_clock(url, 4)
    world.wait_for_check("database_clock", "ok")
    assert changes(world) == [("warning", "degraded"), ("info", "ok")]
    assert -5 <= seconds_ahead(world) < 0


@pytest.mark.parametrize(
    ("stream_ahead", "wrong"),
    [(0, "the database's differs"), (-HOUR, "this host's differs"), (HOUR, "both differ")],
)
def test_doctor_names_the_clock_that_differs_from_stream(
    world: World, stream_ahead: int, wrong: str
) -> None:
    world.stream.clock.offset = stream_ahead
    ended = world.command("doctor", "--json")
    (found,) = [check for check in ended.json if check["check"] == "database_clock"]
    assert found["state"] == "failed"
    assert f"{wrong} from Stream's" in found["detail"]
    assert ended.code == 1
