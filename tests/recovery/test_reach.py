"""Devices at Stream of users who were banned after the backup."""

import pytest

from testing.database_kinds import on_postgresql
from testing.waiting import wait_until

BANNED, ERASED, DELETED = REFUSED = "user-banned", "user-erased", "own-deleted"
REVOKED, REINSTATED = OTHERS = "user-revoked", "user-reinstated"


@on_postgresql
@pytest.mark.sec(66)
def test_devices_of_users_who_were_banned_since_are_removed_again(scene, lost, replay):
    """Not of those who can sign in again: their devices may be new."""
    with scene.running():
        assert scene.sign_up(DELETED).status == 201
    scene.sign_in(*REFUSED, *OTHERS)
    export = lost(
        ("users", "suspend", BANNED),
        ("users", "erase", ERASED),
        ("accounts", "delete", DELETED),
        ("users", "revoke", REVOKED),
        ("users", "suspend", REINSTATED),
        ("users", "reinstate", REINSTATED),
    )
    scene.add_device(*REFUSED, *OTHERS)
    replay(export, "--complete")
    with scene.running():
        wait_until(lambda: not scene.have_devices(*REFUSED), "the devices are removed")
        wait_until(lambda: scene.refuses_at_stream(REVOKED), "Stream has the cut-off")
    assert scene.have_devices(*OTHERS) == list(OTHERS)
    assert "devices" not in scene.json("users", "show", REVOKED)["stream"]
