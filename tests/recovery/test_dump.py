"""Dumps of PostgreSQL, which `tokensvc backup` checks."""

import subprocess

import pytest

from testing.runs.restore_scene import opened_scene


@pytest.fixture
def scene(postgres):
    with opened_scene("postgresql", postgres) as opened:
        yield opened


def dump(scene, *options):
    """Dump the database without the printed command."""
    assert scene.command("backup", str(scene.backup)).code == 0
    program = scene.server.programs / "pg_dump"
    url = scene.settings["TOKENSVC_DATABASE_URL"]
    subprocess.run(
        [program, "--format=custom", f"--file={scene.backup}", *options, url], check=True
    )


def check(scene):
    """Return why the dump is refused."""
    ended = scene.command("backup", str(scene.backup))
    assert ended.code == 1
    return ended.err


def test_dump_with_the_marker_of_the_live_database_is_refused(scene):
    """Its copy would be taken for the live database."""
    dump(scene)
    assert "contains the marker" in check(scene)
    assert "was not checked" in scene.command("restore", str(scene.backup)).err


def test_dump_of_another_database_is_refused(scene):
    dump(scene, "--table=alembic_version")
    assert "is not a dump of this service" in check(scene)


def test_cut_dump_is_refused(scene):
    dump(scene, "--exclude-table-data=*.live_database")
    content = scene.backup.read_bytes()
    scene.backup.write_bytes(content[: len(content) * 9 // 10])
    assert "is damaged, incomplete or not a dump" in check(scene)


def test_file_without_a_manifest_is_not_a_dump_of_the_command(scene):
    scene.backup.write_bytes(b"PGDMP")
    assert "Cannot read" in check(scene)


def test_dump_without_pg_restore_is_not_taken_for_checked(scene):
    scene.back_up()
    scene.settings["PATH"] = "/nonexistent"
    assert "install `pg_restore`" in check(scene)


def test_password_of_the_database_is_not_printed(scene):
    url = scene.settings["TOKENSVC_DATABASE_URL"]
    scene.settings["TOKENSVC_DATABASE_URL"] = url.replace("postgres@", "postgres:hunter2@")
    printed = scene.command("backup", str(scene.backup)).out
    assert "pg_dump" in printed
    assert "hunter2" not in printed
