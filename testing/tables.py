"""The tables of all packages."""

from importlib import import_module

import sqlalchemy as sa

from tokensvc.database.metadata import metadata


def all_tables() -> sa.MetaData:
    """Return the metadata with the tables of every store, which the services import."""
    import_module("tokensvc.app.build")
    return metadata
