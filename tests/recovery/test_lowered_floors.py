"""A replay lowers the cut-offs of a clock that was ahead again, and no others."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from testing.waiting import wait_until
from testing.world import CLOCK_AHEAD
from tokensvc.audit.rules import event_id


def lowered(time, target="app"):
    """Return the event of a floor that was lowered to a time."""
    return {
        "id": event_id(time, 0, "0" * 8),
        "time": time,
        "actor": "cli:operator",
        "action": f"{target}:floor_lowered",
        "subject": target,
        "outcome": "ok",
        "request_id": None,
        "reason": None,
        "details": {"floor": time + 1},
    }


def made_earlier(export):
    """Return the only event of an export, a revocation, as one of 1000 seconds ago."""
    (revoked,) = [json.loads(line) for line in export.read_text().splitlines()]
    revoked["time"] -= 1000
    revoked["details"]["tokens_valid_after"] -= 1000
    return revoked


def write(export, events):
    export.write_text("".join(f"{json.dumps(event)}\n" for event in events))


@pytest.mark.sec(66)
def test_lowered_floor_of_another_export_leaves_later_cut_offs(scene, lost, replay):
    """The first export lacks it, and has a revocation that was later."""
    export = lost(("app", "revoke"))
    revoked = made_earlier(export)
    for events in ([revoked], [revoked, lowered(revoked["time"] - 1000)]):
        write(export, events)
        replay(export, "--complete", "--unverified")
    cut_off = scene.json("app", "show")["tokens_valid_after"]
    assert cut_off == revoked["details"]["tokens_valid_after"] + 60


def test_lowered_floor_of_another_export_leaves_the_floor_of_a_later_undone_one(
    scene, lost, replay
):
    export = lost(("app", "revoke"))
    revoked = made_earlier(export)
    undone = {
        **revoked,
        "id": f"{revoked['id']}0",  # sorted after it
        "action": "app:revocation_undone",
    }
    for events in ([revoked, undone], [revoked, undone, lowered(revoked["time"] - 1000)]):
        write(export, events)
        replay(export, "--complete", "--unverified")
    assert scene.json("app", "show")["tokens_valid_after"] is None
    with closing(sqlite3.connect(scene.folder / "tokensvc.db")) as database:
        (floor,) = database.execute("SELECT floor FROM app_standing").fetchone()
    assert floor == revoked["details"]["tokens_valid_after"] + 60


def test_cut_off_in_the_future_is_lowered_again(scene, lost, replay):
    """The backup has the cut-off of a clock that was ahead, the export its correction."""
    scene.json("app", "revoke")
    with closing(sqlite3.connect(scene.folder / "tokensvc.db")) as database:
        values = "tokens_valid_after = 4000000000"
        database.execute(f"UPDATE app_standing SET floor = 4000000000, {values}")
        database.execute(f"UPDATE revocations SET created_at = 3999999999, {values}")
        database.commit()
    export = lost(("app", "lower-floor"))
    replay(export, "--complete")
    cut_off = scene.json("app", "show")["tokens_valid_after"]
    assert cut_off <= time.time() + 1
    wait_until(lambda: time.time() >= cut_off + CLOCK_AHEAD, "a sign-in is possible")
    with scene.running():
        scene.sign_in("user-ada")
        assert scene.mint("user-ada").status == 200
