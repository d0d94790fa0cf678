"""A database on which commands act, without a running service."""

import pytest

from testing.runs.restore_scene import opened_scene


@pytest.fixture
def scene(request, database_kind):
    """Yield a scene on either database."""
    server = request.getfixturevalue("postgres") if database_kind == "postgresql" else None
    with opened_scene(database_kind, server) as opened:
        yield opened


@pytest.fixture
def sqlite_scene():
    """Yield a scene on SQLite."""
    with opened_scene("sqlite") as opened:
        yield opened
