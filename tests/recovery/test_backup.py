"""Backups that are made while the database is used, and backups that cannot be restored."""

import json
import os
import shutil
import sqlite3
import stat
import subprocess
from contextlib import closing

import pytest

from testing.command_line import SCRIPT
from testing.database_kinds import on_both
from testing.service import ROOT, running_service
from tokensvc.database import schema


def manifest_path(scene):
    return scene.backup.with_name("backup.manifest.json")


def change_manifest(scene, **members):
    content = json.loads(manifest_path(scene).read_text())
    manifest_path(scene).write_text(json.dumps(content | members))


def refusal(scene):
    """Return why the backup is not restored. The database stays as it was."""
    before = scene.folder.joinpath("tokensvc.db").read_bytes()
    ended = scene.command("restore", str(scene.backup))
    assert (ended.code, ended.out) == (1, "")
    assert scene.folder.joinpath("tokensvc.db").read_bytes() == before
    return ended.err


def test_backup_of_a_running_service_has_what_is_only_in_the_wal(scene):
    """A copy of the file would lose it."""
    with scene.running():
        scene.json("users", "suspend", "user-ada")
        assert scene.folder.joinpath("tokensvc.db-wal").stat().st_size > 0
        scene.back_up()
    scene.lose_database()
    scene.restore()
    assert scene.json("users", "show", "user-ada")["suspended"] is True


@on_both
def test_manifest_describes_the_backup(scene):
    last = scene.json("clients", "create", "backend", "--scope", "tokens:mint")
    scene.back_up()
    content = json.loads(manifest_path(scene).read_text())
    (event,) = [
        event
        for line in scene.command("audit", "--json").out.splitlines()
        if (event := json.loads(line))["subject"] == last["id"]
    ]
    assert content["last_event"] == event["id"]
    assert content["schema"] == schema.head()
    assert content["environment"] == "production"
    assert content["size"] == scene.backup.stat().st_size
    assert len(content["encryption_keys"]) == 1
    assert len(content["ring_version"]) == 2
    for path in (scene.backup, manifest_path(scene)):
        if path != scene.backup or scene.server is None:  # pg_dump makes the other
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_existing_file_is_not_replaced(scene):
    scene.backup.write_text("precious")
    ended = scene.command("backup", str(scene.backup))
    assert ended.code == 1
    assert "exists already" in ended.err
    assert scene.backup.read_text() == "precious"


def test_damaged_backup_is_refused(scene):
    scene.back_up()
    with scene.backup.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff")
    assert "is damaged or incomplete" in refusal(scene)


def test_backup_without_its_manifest_is_refused(scene):
    scene.back_up()
    manifest_path(scene).unlink()
    assert "copy it next to the backup" in refusal(scene)


@pytest.mark.parametrize("content", ["", "[]", '{"product": "other", "id": "x"}', "\x00"])
def test_foreign_manifest_is_refused(scene, content):
    scene.back_up()
    manifest_path(scene).write_text(content)
    assert "damaged or not a manifest of tokensvc" in refusal(scene)


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"schema": "9999"}, "is from a newer release: its schema is 9999"),
        ({"format": 2, "id": 7}, "is from a newer release: its format is 2"),
        ({"environment": "development"}, "is from a database of development"),
        ({"database": "postgresql"}, "is a backup of postgresql"),
        ({"sha256": None}, "was not checked: run `tokensvc backup"),
        ({"product": "another"}, "damaged or not a manifest of tokensvc"),
    ],
)
def test_backup_that_does_not_fit_is_refused(scene, members, text):
    scene.back_up()
    change_manifest(scene, **members)
    assert text in refusal(scene)


def test_restore_is_refused_while_the_service_runs(scene):
    with running_service(scene.folder, **scene.settings):
        scene.back_up()
        for command in (("restore", str(scene.backup)), ("after-restore",)):
            ended = scene.command(*command)
            assert ended.code == 1
            assert "already serves" in ended.err


def test_previous_database_is_kept(scene):
    scene.back_up()
    scene.json("users", "suspend", "user-ada")
    scene.restore()
    assert scene.json("users", "show", "user-ada")["suspended"] is False
    (aside,) = scene.folder.glob("tokensvc.db.before-restore-*[0-9]")
    with closing(sqlite3.connect(aside)) as previous:
        assert previous.execute("SELECT user_id FROM user_standings").fetchall() == [("user-ada",)]


def test_wal_of_the_previous_database_does_not_reach_the_restored_one(scene):
    """An interruption can leave it behind; SQLite would apply it."""
    scene.back_up()
    path = scene.folder / "tokensvc.db"
    with closing(sqlite3.connect(path)) as previous:
        previous.execute("PRAGMA journal_mode=WAL")
        previous.execute("INSERT INTO user_standings (user_id) VALUES ('late')")
        previous.commit()
        shutil.copy(f"{path}-wal", scene.folder / "kept-wal")
    shutil.copy(scene.folder / "kept-wal", f"{path}-wal")
    path.unlink()
    scene.restore()
    with closing(sqlite3.connect(path)) as restored:
        assert restored.execute("SELECT user_id FROM user_standings").fetchall() == []


@on_both
def test_shipped_script_makes_a_backup_that_can_be_restored_and_deletes_old_ones(scene):
    """With PostgreSQL it runs the printed line and lets the command check the dump."""
    folder = scene.folder / "backups"
    folder.mkdir()
    old = [folder / "tokensvc-20200101T000000Z", folder / "tokensvc-20200101T000000Z.manifest.json"]
    for path in old:
        path.touch()
        os.utime(path, (0, 0))
    environ = scene.environ
    environ["PATH"] = f"{SCRIPT.parent}{os.pathsep}{environ['PATH']}"
    subprocess.run([ROOT / "deploy" / "back-up", folder], env=environ, check=True)
    made, manifest = sorted(folder.iterdir())
    assert manifest.name == f"{made.name}.manifest.json"
    shutil.move(made, scene.backup)
    shutil.move(manifest, manifest_path(scene))
    scene.lose_database()
    scene.restore()
