"""The URL of a database, for another process, and a migrated file to copy."""

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

from testing.database_parts import engine_of
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.vault.vault import Vault


def url_of(database: Database) -> str:
    """Return the URL as in the settings, with the password."""
    return engine_of(database).url.render_as_string(hide_password=False).replace("+psycopg", "")


def migrated_settings(url: str) -> dict[str, str]:
    """Create the schema in a database, and return its settings with a new encryption key."""
    migrate(url)
    keys = [Vault.generate_key()]
    return {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": json.dumps(keys)}


@cache
def migrated_sqlite_file() -> Path:
    """Return a migrated file that this process copies: a migration is a third of a start."""
    folder = tempfile.mkdtemp(prefix="warm-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder) / "tokensvc.db"
    migrate(f"sqlite:///{path}")
    return path


def migrate(url: str) -> None:
    """Create the schema in a database."""
    database = Database.open(url, pool_size=1)
    try:
        schema.migrate(database)
    finally:
        database.close()
