"""The URL of a database, for another process."""

import json

from testing.database_parts import engine_of
from tokensvc.database import schema
from tokensvc.database.engine import Database
from tokensvc.vault.vault import Vault


def url_of(database: Database) -> str:
    """Return the URL as in the settings, with the password."""
    return engine_of(database).url.render_as_string(hide_password=False).replace("+psycopg", "")


def migrated_settings(url: str) -> dict[str, str]:
    """Create the schema in a database, and return its settings with a new encryption key."""
    database = Database.open(url, pool_size=1)
    try:
        schema.migrate(database)
    finally:
        database.close()
    keys = [Vault.generate_key()]
    return {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": json.dumps(keys)}
