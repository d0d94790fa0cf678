"""`after-restore` on a database that was not restored, and its dry run."""

import pytest

from testing.database_kinds import on_both
from testing.service_clients import basic_header

pytestmark = pytest.mark.sec(66, 68)


def standing(scene):
    """Return what `after-restore` changes, as an operator sees it."""
    (client,) = scene.json("clients", "list")
    trail = scene.command("audit", "--json", "--limit", "1000").out.splitlines()
    return (
        scene.json("app", "show")["tokens_valid_after"],
        client["secrets"][0]["expires_at"],
        scene.json("users", "show", "user-ada")["suspended"],
        len(trail),
    )


def test_database_that_was_not_restored_is_refused_and_stays_as_it_is(scene):
    """A typed `after-restore` signs no user out, and disables no client."""
    client = scene.json("clients", "create", "one", "--scope", "users:read")
    with scene.running():
        session = scene.sign_up("own-ada")
        assert session.status == 201
    before = standing(scene)
    for options in ((), ("--dry-run",)):
        ended = scene.command("after-restore", *options)
        assert ended.code == 1
        assert "was not restored" in ended.err
        assert "--copied" in ended.err
    assert standing(scene) == before
    with scene.running():
        assert scene.client(basic_header(client)).get("/v1/users/user-ada").status == 200
        assert scene.sign_up("own-eve").status == 201


@on_both
def test_copy_with_the_marker_is_made_live_only_with_copied(scene):
    scene.json("clients", "create", "one", "--scope", "users:read")
    result = scene.json("after-restore", "--copied")
    assert (result["secrets_disabled"], result["sign_up_closed"]) == (1, True)
    assert scene.json("app", "show")["tokens_valid_after"] == result["cut_off"] is not None


@on_both
def test_second_run_is_refused_and_changes_nothing(scene, lost):
    scene.json("clients", "create", "one", "--scope", "users:read")
    lost()
    scene.json("after-restore")
    before = standing(scene)
    ended = scene.command("after-restore")
    assert (ended.code, "has made it live already" in ended.err) == (1, True)
    assert standing(scene) == before


def test_dry_run_shows_the_result_and_changes_nothing(scene, lost):
    scene.json("clients", "create", "one", "--scope", "users:read")
    export = lost(("users", "suspend", "user-ada"))
    before = standing(scene)
    result = scene.json("after-restore", "--dry-run")
    assert (result["dry_run"], result["secrets_disabled"]) == (True, 1)
    assert result["cut_off"] is not None
    shown = scene.command("after-restore", "--dry-run", "--replay", str(export))
    assert shown.out.startswith("Dry run, nothing changed.")
    assert "user:suspended" in shown.out
    assert standing(scene) == before
    assert "was restored from a backup" in scene.command("token", "mint", "user-ada").err
