"""What every run creates first: a folder and a database."""

import contextlib
import tempfile
from pathlib import Path

from testing.database_url import migrated_settings
from testing.postgres import PostgresServer


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
    return migrated_settings(url)
