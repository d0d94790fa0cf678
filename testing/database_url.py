"""The URL of an open database, for another process."""

from tokensvc.database.engine import Database


def url_of(database: Database) -> str:
    """Return the URL as in the settings, with the password."""
    return database._engine.url.render_as_string(hide_password=False).replace("+psycopg", "")
