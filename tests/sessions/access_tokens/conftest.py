"""Access tokens of one database, for the examples of a property."""

import pytest

from testing.database_url import migrated_sqlite_file
from tests.sessions.access_tokens.access import AccessWorld
from tokensvc.database.engine import Database


@pytest.fixture(scope="session")
def sqlite_access_world(tmp_path_factory):
    """Return one world for all examples of a property."""
    path = tmp_path_factory.mktemp("tokens") / "tokensvc.db"
    path.write_bytes(migrated_sqlite_file().read_bytes())
    database = Database.open(f"sqlite:///{path}", pool_size=2)
    yield AccessWorld(database)
    database.close()
