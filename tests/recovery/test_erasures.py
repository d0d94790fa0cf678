"""A user who was erased after the backup is erased again in the restored database."""

import pytest

from testing.accounts import PASSWORD
from testing.database_kinds import on_postgresql
from testing.waiting import wait_until

ADA, EVE = "user-ada", "own-eve"


def erasure(scene, user_id):
    return scene.json("users", "show", user_id)["erasure"]


@on_postgresql
@pytest.mark.sec(66)
def test_erased_user_stays_refused_after_a_restore(scene, lost, replay):
    """Here and at Stream, and the rows that the backup has are deleted again."""
    scene.sign_in(ADA)
    with scene.running():
        assert scene.sign_up(EVE).status == 201
        assert scene.sign_in_account(EVE, PASSWORD).status == 200
    scene.stream.app.users[EVE] = {"id": EVE}
    export = lost(("users", "erase", ADA), ("users", "erase", EVE))
    assert erasure(scene, EVE) is None
    for _ in range(2):
        replay(export, "--complete")
    assert scene.json("users", "erase", EVE)["erased"]["sessions"] == 0
    with scene.running():
        assert scene.mint(ADA).code == "user_erased"
        assert scene.sign_up(EVE).code == "user_id_taken"
        assert scene.sign_in_account(EVE, PASSWORD).code == "credentials_invalid"
        for user_id in (ADA, EVE):
            wait_until(
                lambda user_id=user_id: erasure(scene, user_id)["state"] == "done",
                f"{user_id} is deleted at Stream",
            )
            assert scene.stream.app.users[user_id]["deleted_at"]


def test_user_whom_stream_deleted_before_the_restore_is_not_found_there(scene, lost, replay):
    """The erasure waits until no token from before can create the user again."""
    scene.sign_in(ADA)
    export = lost(("users", "erase", ADA))
    scene.stream.app.users[ADA] = {"id": ADA, "deleted_at": "2026-05-02T00:00:00Z"}
    replay(export, "--complete")
    with scene.running():
        wait_until(
            lambda: scene.json("users", "show", ADA)["stream"]["state"] == "absent",
            "the service has asked Stream",
        )
        assert scene.mint(ADA).code == "user_erased"
    assert erasure(scene, ADA)["state"] == "pending"
