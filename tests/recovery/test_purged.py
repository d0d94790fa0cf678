"""A purge takes nothing from a database that a restore and its replay need."""

import time
from functools import partial

import pytest

from testing.database_kinds import on_both
from testing.purging import LaterClock, purge_all
from tokensvc.audit import store as audit
from tokensvc.core.clock import system_clock
from tokensvc.database.engine import Database
from tokensvc.revocations import store as revocations


def purge(scene, *, retention=0, ahead=0):
    """Delete all that may be deleted once a second has passed."""
    time.sleep(1.1)
    database = Database.open(scene.environ["TOKENSVC_DATABASE_URL"], pool_size=1)
    clock = LaterClock(database, system_clock)
    clock.ahead = ahead
    for store in (audit, revocations):
        purge_all(database, clock, partial(store.purge, retention=retention))
    database.close()


def events(scene):
    """Return the lines of an export, oldest first, whose chain is the other way round."""
    return scene.command("audit", "--json", "--limit", "1000").out.splitlines()[::-1]


def replay(scene, lines):
    export = scene.folder / "audit.jsonl"
    export.write_text("".join(f"{line}\n" for line in lines))
    return scene.json(
        "after-restore", "--copied", "--unverified", "--replay", str(export), "--complete"
    )


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
    exported = events(scene)
    scene.lose_database()
    scene.restore()
    result = replay(scene, exported)
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


def test_purged_events_are_not_replayed_after_a_longer_retention(scene):
    scene.json("users", "suspend", "user-ada")
    scene.json("users", "reinstate", "user-ada")
    exported = events(scene)
    purge(scene)
    purge(scene, retention=3600)
    exported += events(scene)
    scene.back_up()
    scene.lose_database()
    scene.restore()
    result = replay(scene, exported)
    assert (result["applied"], result["cut_off_because"]) == ({}, None)


@on_both
@pytest.mark.sec(66)
def test_action_after_a_purge_of_a_clock_that_was_ahead_is_replayed(scene):
    scene.json("users", "suspend", "user-ada")
    purge(scene, retention=86400, ahead=3 * 86400)
    scene.back_up()
    scene.json("users", "suspend", "user-eve")
    exported = events(scene)
    scene.lose_database()
    scene.restore()
    result = replay(scene, exported)
    assert result["applied"] == {"user:suspended": 1}
    assert "a clock was ahead" in result["cut_off_because"]
    assert scene.json("users", "show", "user-eve")["suspended"] is True
