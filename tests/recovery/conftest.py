"""A database on which commands act, without a running service."""

import pytest

from testing.runs.restore_scene import opened_scene


@pytest.fixture(params=["sqlite"])
def database_kind(request):
    """Run a test on SQLite. What a replay changes is in each table's own tests on both."""
    return request.param


@pytest.fixture
def scene(request, database_kind):
    """Yield a scene on the database of the test."""
    server = request.getfixturevalue("postgres") if database_kind == "postgresql" else None
    with opened_scene(database_kind, server) as opened:
        yield opened


@pytest.fixture
def lost(scene):
    """Return a function that acts, exports the events and restores the backup from before."""

    def lose(*commands):
        scene.back_up()
        for command in commands:
            scene.json(*command)
        export = scene.folder / "audit.jsonl"
        export.write_text(scene.command("audit", "--json", "--limit", "1000").out)
        scene.lose_database()
        scene.restore()
        return export

    return lose


@pytest.fixture
def replay(scene):
    """Return a function that replays an export, also a second time."""

    def replay(export, *options):
        return scene.json("after-restore", "--copied", "--replay", str(export), *options)

    return replay
