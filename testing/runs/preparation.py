"""What every run creates first: a folder and a database."""

import contextlib
import json
import tempfile
from pathlib import Path

from testing.postgres import PostgresServer
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.keys.vault import Vault


def temporary_folder(stack: contextlib.ExitStack) -> Path:
    """Create a folder. The stack removes it."""
    return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tokensvc-run-")))


def database_settings(stack: contextlib.ExitStack, folder: Path, kind: str) -> dict[str, str]:
    """
    Create a database with the schema, and return its settings.

    Args:
        stack: Stack that removes the database.
        folder: Folder of an SQLite database.
        kind: `sqlite` or `postgresql`.
    """
    url = f"sqlite:///{folder / 'tokensvc.db'}"
    if kind == "postgresql":
        server = PostgresServer()
        stack.callback(server.remove)
        url = server.fresh_url()
    database = Database.open(url, pool_size=1)
    try:
        schema.migrate(database)
    finally:
        database.close()
    keys = [Vault.generate_key()]
    return {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": json.dumps(keys)}
