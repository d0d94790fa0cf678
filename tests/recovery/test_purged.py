"""A purge takes nothing from a database that a restore and its replay need."""

import time

import pytest

from tokensvc.audit.purge import AuditPurge
from tokensvc.core.clock import system_clock
from tokensvc.database.clock import DatabaseClock
from tokensvc.database.engine import Database
from tokensvc.revocations.purge import RevocationPurge


def purge(scene):
    """Delete all that may be deleted once a second has passed."""
    time.sleep(1.1)
    database = Database.open(scene.environ["TOKENSVC_DATABASE_URL"], pool_size=1)
    clock = DatabaseClock(database, system_clock)
    for kind in (AuditPurge, RevocationPurge):
        while kind(database, clock, 0).step():
            pass
    database.close()


def undo_latest(scene, user_id):
    scene.json("users", "undo", user_id, scene.json("users", "show", user_id)["revocation"]["id"])


def standings(scene):
    """Return what is refused, by user."""
    shown = [scene.json("users", "show", f"user-{name}") for name in ("ada", "bob", "eve", "mia")]
    return {
        state["user_id"]: (state["suspended"], state["tokens_valid_after"] is not None)
        for state in shown
    }


@pytest.mark.sec(66)
def test_replay_after_purges_refuses_what_was_refused(scene):
    """Before the backup and after the replay, everything that may be purged is."""
    scene.json("users", "suspend", "user-ada")
    scene.json("users", "revoke", "user-bob")
    undo_latest(scene, "user-bob")
    scene.json("users", "revoke", "user-mia")
    purge(scene)
    scene.back_up()
    scene.json("users", "suspend", "user-eve")
    undo_latest(scene, "user-mia")
    refused = standings(scene)
    export = scene.folder / "audit.jsonl"
    export.write_text(scene.command("audit", "--json", "--limit", "1000").out)
    scene.lose_database()
    scene.restore()
    result = scene.json("after-restore", "--replay", str(export), "--complete")
    assert result["cut_off"] is None
    assert standings(scene) == refused
    purge(scene)
    assert standings(scene) == refused
    assert refused == {
        "user-ada": (True, True),
        "user-bob": (False, False),
        "user-eve": (True, True),
        "user-mia": (False, False),
    }
    assert "This user is suspended" in scene.command("token", "mint", "user-ada").err
