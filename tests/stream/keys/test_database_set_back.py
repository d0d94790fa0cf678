"""The database is set back while workers run. They notice it at the next read."""

import contextlib
import json
import sqlite3
from collections.abc import Callable

import pytest
import sqlalchemy as sa

from testing.service import STREAM_API_KEY
from testing.world import running_world
from tests.stream.keys.test_routes import KeysWorld
from tokensvc.standing.tables import app_standing
from tokensvc.stream.keys.tables import stream_keys
from tokensvc.vault.vault import Vault

pytestmark = pytest.mark.slow

SECRET = "another-secret-of-streams-dashboard-0123"
MINTS = 6
"""Number of mints that follow each other: each of the two workers gets some."""

TABLES = (app_standing, stream_keys)


@pytest.fixture(params=["rows of postgresql", "content of sqlite", "file of sqlite"])
def kind(request):
    return request.param


@pytest.fixture
def world(request, kind, tmp_path):
    settings = {"TOKENSVC_WORKERS": "2"}
    if kind == "rows of postgresql":
        url = request.getfixturevalue("migrated_postgres_url")
        keys = json.dumps([Vault.generate_key()])
        settings |= {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": keys}
    with running_world(tmp_path, KeysWorld, **settings) as world:
        yield world


def backup(world: KeysWorld, kind: str) -> Callable[[], None]:
    """Copy the database, and return a function that sets it back to the copy."""
    if kind != "rows of postgresql":
        return _backup_file(world, kind)
    with world.database.snapshot() as connection:
        rows = {table: connection.execute(sa.select(table)).mappings().all() for table in TABLES}

    def restore() -> None:
        with world.database.write() as tx:
            for table in TABLES:
                tx.execute(table.delete())
                columns = [{c.key: row[c] for c in table.c} for row in rows[table]]
                tx.execute(table.insert(), columns)

    return restore


def _backup_file(world: KeysWorld, kind: str) -> Callable[[], None]:
    live, copy = world.folder / "tokensvc.db", world.folder / "backup.db"

    def copy_to(source, target) -> None:
        with (
            contextlib.closing(sqlite3.connect(source)) as source_connection,
            contextlib.closing(sqlite3.connect(target)) as target_connection,
        ):
            source_connection.backup(target_connection)

    def replace() -> None:
        for name in ("tokensvc.db-wal", "tokensvc.db-shm"):
            (world.folder / name).unlink()
        copy.replace(live)

    copy_to(live, copy)
    return replace if kind == "file of sqlite" else lambda: copy_to(copy, live)


def codes(world: KeysWorld, **body: str) -> set[str]:
    """Return the codes of several mints, or the API key that signed."""
    responses = [world.mint(**body) for _ in range(MINTS)]
    return {
        response.json["api_key"] if response.status == 200 else response.code
        for response in responses
    }


@pytest.mark.sec(37)
def test_only_keys_of_the_restored_database_sign(world, kind):
    """Neither a key that is not in it, nor one that is retired after the restore."""
    for api_key in ("old", "new"):
        world.stream.app.keys[api_key] = SECRET
    old = world.add("old", SECRET).json["id"]
    restore = backup(world, kind)
    new = world.add("new", SECRET).json["id"]
    world.act(new, "activate")
    assert codes(world) == codes(world, api_key="new") == {"new"}
    assert codes(world, api_key="old") == {"old"}

    restore()

    assert codes(world, api_key="new") == {"api_key_unknown"}
    assert codes(world) == {STREAM_API_KEY}
    assert world.act(old, "retire").status == 200
    assert codes(world, api_key="old") == {"api_key_unknown"}
