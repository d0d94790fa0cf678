"""`tokensvc after-restore`: what it replays, and what it does about events that may be missing."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from testing.command_line import SCRIPT
from testing.database_kinds import on_both
from testing.service import free_port, wait_until_ready
from testing.service_clients import basic_header
from testing.warm_start import Program
from tokensvc.core.errors import StartupError
from tokensvc.recovery.export import parse


def state(scene, user_id="user-ada"):
    return scene.json("users", "show", user_id)


SUSPEND = ("users", "suspend", "user-ada")
REINSTATE = ("users", "reinstate", "user-ada")


@on_both
@pytest.mark.sec(66)
def test_complete_export_signs_out_only_those_it_names(scene, lost, replay):
    scene.json("users", "suspend", "user-eve")
    result = replay(lost(SUSPEND), "--complete")
    assert result["applied"] == {"user:suspended": 1}
    assert (result["cut_off"], result["secrets_disabled"]) == (None, 0)
    assert state(scene)["suspended"] is True
    assert scene.json("app", "show")["tokens_valid_after"] is None


@on_both
@pytest.mark.sec(66)
def test_export_that_may_be_incomplete_signs_everyone_out(scene, lost, replay):
    scene.json("users", "suspend", "user-eve")
    result = replay(lost(SUSPEND))
    assert result["cut_off"] == scene.json("app", "show")["tokens_valid_after"] is not None


def test_export_that_lacks_the_last_event_of_the_backup_is_not_complete(scene, lost, replay):
    """Between the backup and the first event of the export, others may be missing."""
    scene.json("users", "suspend", "user-eve")
    export = lost(SUSPEND)
    newest = export.read_text().splitlines()[0]
    export.write_text(f"{newest}\n")
    result = replay(export, "--complete")
    assert "lacks the last event of the backup" in result["cut_off_because"]
    assert state(scene)["suspended"] is True


def test_export_whose_last_line_is_cut_is_not_complete(scene, lost, replay):
    scene.json("users", "suspend", "user-eve")
    export = lost(SUSPEND)
    export.write_text(export.read_text() + '{"id": "evt_0')
    result = replay(export, "--complete")
    assert "incomplete" in result["cut_off_because"]
    assert result["applied"] == {"user:suspended": 1}


def test_line_that_is_no_event_is_refused_with_its_number(scene, lost):
    export = lost(SUSPEND)
    export.write_text("nonsense\n" + export.read_text())
    ended = scene.command("after-restore", "--replay", str(export))
    assert ended.code == 1
    assert "Line 1 of the export is not an audit event" in ended.err
    assert state(scene)["suspended"] is False
    assert "after-restore" in scene.command("token", "mint", "user-ada").err


@pytest.mark.sec(66)
def test_suspension_after_the_restore_survives_an_older_reinstatement(scene, lost, replay):
    scene.json(*SUSPEND)
    export = lost(REINSTATE)
    scene.json("after-restore")
    lines = export.read_text().splitlines()
    reinstated = json.loads(lines[0])
    reinstated["time"] = state(scene)["suspended_at"] - 1
    export.write_text("\n".join([json.dumps(reinstated), *lines[1:]]) + "\n")
    replay(export, "--unverified")
    assert state(scene)["suspended"] is True


def bounds(scene):
    """Return the latest renewal and the floor of user-ada on SQLite."""
    with closing(sqlite3.connect(scene.folder / "tokensvc.db")) as database:
        return database.execute("SELECT latest_renewal, floor FROM user_standings").fetchone()


@pytest.mark.sec(66)
def test_lost_renewal_is_applied_again(scene, lost, replay):
    """Stream is told again, and the user must not sign in again."""
    export = lost(("users", "renew", "user-ada"))
    (renewed,) = [json.loads(line) for line in export.read_text().splitlines()]
    renewed["time"] -= 1000
    renewed["details"]["latest_renewal"] -= 1000
    export.write_text(json.dumps(renewed) + "\n")
    result = replay(export, "--complete", "--unverified")
    assert result["applied"] == {"user:renewed": 1}
    bound = renewed["details"]["latest_renewal"] + 60  # its confirmation may have moved it
    assert bounds(scene) == (bound, bound)
    shown = state(scene)
    assert (shown["tokens_valid_after"], shown["stream"]["state"]) == (None, "pending")
    replay(export, "--complete", "--unverified")
    assert bounds(scene) == (bound, bound)


@pytest.mark.sec(66)
def test_replayed_events_are_in_the_audit_trail(scene, lost, replay):
    export = lost(SUSPEND)
    replay(export, "--complete")
    printed = [json.loads(line) for line in scene.command("audit", "--json").out.splitlines()]
    exported = [json.loads(line) for line in export.read_text().splitlines()]
    for event in (*printed, *exported):
        del event["chain"]
    assert all(event in printed for event in exported)
    assert printed[0]["action"] == "database:restored"


@on_both
@pytest.mark.sec(66)
def test_withdrawn_rights_are_withdrawn_again_and_granted_ones_are_not(scene, lost, replay):
    client = scene.json(
        "clients", "create", "one", "--scope", "tokens:mint", "--scope", "keys:write"
    )
    change = ("--remove-scope", "keys:write", "--add-scope", "users:read")
    replay(lost(("clients", "update", client["id"], *change)), "--complete")
    (found,) = scene.json("clients", "list")
    assert found["scopes"] == ["tokens:mint"]


@pytest.mark.sec(66)
def test_id_of_a_client_that_was_created_since_is_not_used_again(scene, lost, replay):
    scene.json("clients", "create", "other", "--scope", "tokens:mint")
    create = ("clients", "create", "one", "--scope", "tokens:mint")
    result = replay(lost(create), "--complete")
    assert result["lost"] == [["client:created", "svc.one"]]
    assert scene.json(*create)["id"] != "svc.one"


def test_used_invitation_cannot_be_used_again(scene, lost, replay):
    """The export does not tell which one a sign-up used."""
    scene.settings["TOKENSVC_ACCOUNTS__SIGN_UP"] = "invitation"
    invitation = scene.json("accounts", "invite")["invitation"]
    replay(lost(), "--complete")
    with scene.running():
        body = {"user_id": "own-x", "password": "copper lantern drifts", "invitation": invitation}
        response = scene.client().post("/v1/accounts", json=body)
        assert response.json["code"] == "invitation_invalid"


def test_retired_active_key_needs_another_one(scene, lost):
    """The export has no secret: the key that followed is lost."""
    scene.json("clients", "create", "one", "--scope", "tokens:mint")
    (key,) = scene.json("stream-keys", "list")
    scene.back_up()
    added = scene.json(
        "stream-keys", "add", "other-api-key", stdin="other-stream-secret-of-more-than-32-bytes"
    )
    scene.json("stream-keys", "activate", added["id"])
    scene.json("stream-keys", "retire", key["id"])
    export = scene.folder / "audit.jsonl"
    export.write_text(scene.command("audit", "--json").out)
    scene.lose_database()
    scene.restore()
    ended = scene.command("after-restore", "--replay", str(export), "--complete")
    assert "Lost, create it again: other-api-key (stream_key:added)" in ended.out
    assert "No Stream key is active" in ended.out
    assert "No Stream key is active" in scene.command("token", "mint", "user-ada").err


def test_secrets_and_sign_up_stay_if_the_operator_says_so(scene, lost):
    client = scene.json("clients", "create", "one", "--scope", "users:read")
    lost()
    result = scene.json("after-restore", "--keep-clients", "--keep-sign-up")
    assert (result["secrets_disabled"], result["sign_up_closed"]) == (0, False)
    with scene.running():
        reader = scene.client(basic_header(client))
        assert reader.get("/v1/users/user-ada").status == 200
        assert scene.sign_up("own-ada").status == 201


@on_both
def test_operator_opens_sign_up_again(scene, lost):
    lost()
    assert scene.json("after-restore")["sign_up_closed"] is True
    with scene.running():
        assert scene.sign_up("own-ada").json["code"] == "sign_up_closed"
        assert scene.command("accounts", "reopen-sign-up").code == 0
        assert scene.sign_up("own-ada").status == 201


@pytest.mark.sec(66)
def test_secrets_that_a_restore_disabled_stay_disabled_after_the_next_one(scene, lost, replay):
    """The replay of an earlier restore ends the secrets that were valid then."""
    scene.json("clients", "create", "one", "--scope", "tokens:mint")
    export = lost(("after-restore", "--copied"))
    replay(export, "--complete")
    (client,) = scene.json("clients", "list")
    assert client["secrets"][0]["expires_at"] is not None


@pytest.mark.sec(66)
def test_secrets_from_after_a_restore_survive_the_replay_of_an_earlier_one(scene, lost, replay):
    scene.json("clients", "create", "one", "--scope", "tokens:mint")
    export = lost(("after-restore", "--copied"))
    scene.json("after-restore")
    time.sleep(1)  # the times of secrets are whole seconds
    created = scene.json("clients", "create", "two", "--scope", "tokens:mint")
    replay(export, "--complete")
    (two,) = [one for one in scene.json("clients", "list") if one["id"] == created["id"]]
    assert two["secrets"][0]["expires_at"] is None


@pytest.mark.sec(66)
def test_replayed_cut_off_covers_the_longest_commit(scene, lost, replay):
    """The confirmation may have moved the cut-off, and no event tells of that."""
    export = lost(("users", "revoke", "user-ada"))
    events = [json.loads(line) for line in export.read_text().splitlines()]
    (revoked,) = [event for event in events if event["action"] == "user:revoked"]
    revoked["time"] -= 1000
    revoked["details"]["tokens_valid_after"] -= 1000
    export.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    replay(export, "--complete", "--unverified")
    assert state(scene)["tokens_valid_after"] == revoked["details"]["tokens_valid_after"] + 60


@pytest.mark.sec(66)
def test_purge_of_a_clock_that_was_ahead_hides_no_event(scene, lost, replay):
    """The previous release noted the time of its clock minus the retention."""
    scene.json("users", "show", "user-ada")  # creates the database
    with closing(sqlite3.connect(scene.folder / "tokensvc.db")) as database:
        database.execute("UPDATE audit_purge SET purged_before = 4000000000")
        database.commit()
    result = replay(lost(SUSPEND), "--complete")
    assert result["applied"] == {"user:suspended": 1}
    assert "a clock was ahead" in result["cut_off_because"]


def test_complete_without_an_export_is_refused(scene):
    assert scene.command("after-restore", "--complete").code == 2


@pytest.mark.sec(61)
def test_restored_database_does_not_start(scene, lost):
    lost()
    refused = scene.command("token", "mint", "user-ada")
    assert refused.code == 1
    assert "was restored from a backup" in refused.err
    assert "FAIL" in scene.command("doctor").out
    scene.settings["TOKENSVC_UNSAFE_RESTORED"] = "true"
    assert "is for development only" in scene.command("token", "mint", "user-ada").err


@pytest.mark.parametrize("line", [b"[]\n", b"{}\n", b"\xff\n", b'{"id": 7}\n'])
def test_line_of_another_form_is_no_event(line):
    with pytest.raises(StartupError, match="Line 1"):
        parse([line], None)


def test_restored_database_starts_in_development_if_asked(scene):
    scene.settings["TOKENSVC_ENVIRONMENT"] = "development"
    (scene.folder / "tokensvc.db").unlink()
    scene.json("migrate")
    scene.back_up()
    scene.lose_database()
    scene.restore()
    bind = f"127.0.0.1:{free_port()}"
    command = [SCRIPT, "serve", "--bind", bind, "--unsafe-restored"]
    with (scene.folder / "serve.log").open("wb") as log:
        process = Program(command, cwd=scene.folder, env=scene.environ, stderr=log.fileno())
    try:
        wait_until_ready(process, f"http://{bind}/healthz")
    finally:
        process.terminate()
        process.wait(timeout=30)
