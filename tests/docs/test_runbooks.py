"""Every block of commands in `docs/runbooks/` runs, and does what its page says."""

import pytest

from testing.doubles.issuer import hang_up
from testing.doubles.stream_calls import connects
from testing.runs.restore_scene import OTHER_KEY, OTHER_SECRET, PASSWORD, opened_scene
from testing.service import ROOT, STREAM_API_KEY, STREAM_API_SECRET
from testing.service_clients import basic_header
from testing.waiting import wait_until
from tests.docs.page_commands import PageCommands

pytestmark = pytest.mark.slow

RUNBOOKS = ROOT / "docs" / "runbooks"
RATE_LIMITED = 9
"""Stream's code."""
ADA, MALLORY = "user-ada", "user-mallory"
PAGES = {
    "client-secret-leaked",
    "database-restore",
    "encryption-key-lost",
    "erasure-failed",
    "issuer-outage",
    "mass-sign-out",
    "stream-outage",
    "stream-secret-leaked",
    "stream-verifies-no-tokens",
}


@pytest.fixture
def scene():
    """Yield a service that has not been started yet, with users of a provider."""
    with opened_scene("sqlite") as opened:
        opened.sign_in(ADA, MALLORY)
        yield opened


def page(scene, name):
    """Return the commands of a page, for that service."""
    replaced = {
        "your-stream-key": STREAM_API_KEY,
        "your-new-stream-key": OTHER_KEY,
        "/backups/tokensvc-monday": str(scene.backup),
        "/backups": str(scene.folder),
        "mallory": MALLORY,
    }
    if scene.service is not None:
        replaced["http://127.0.0.1:8000"] = scene.service.base_url
    return PageCommands(RUNBOOKS / f"{name}.md", scene.folder, scene.environ, replaced)


def code(response):
    return response.code if response.status >= 400 else response.status


def test_every_runbook_has_a_test_here():
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == PAGES


def test_stream_secret_leaked(scene):
    with scene.running(), page(scene, "stream-secret-leaked") as commands:
        (leaked,) = scene.json("stream-keys", "list")
        commands.run("tokensvc stream-keys add", stdin=OTHER_SECRET)
        added = scene.json("stream-keys", "list")[0]
        commands.run("tokensvc stream-keys activate", NEW_KEY_ID=added["id"])
        assert scene.mint(ADA).json["api_key"] == OTHER_KEY
        commands.run("tokensvc stream-keys retire", OLD_KEY_ID=leaked["id"])
        scene.settings |= {"STREAM_API_KEY": OTHER_KEY, "STREAM_API_SECRET": OTHER_SECRET}
        commands.environ = scene.environ
        shown = commands.run("tokensvc stream-keys list")
        assert shown.count("retired") == shown.count("active ") == 1
        assert "FAIL" not in shown


def test_client_secret_leaked(scene):
    scopes = ("--scope", "tokens:mint", "--scope", "clients:write")
    leaked = scene.json("clients", "create", "backend", *scopes)
    other = scene.json("clients", "create", "other", "--scope", "tokens:mint")
    with scene.running(), page(scene, "client-secret-leaked") as commands:
        thief = scene.client(basic_header(leaked))
        added = thief.post(f"/v1/clients/{other['id']}/secrets", json={})
        commands.run("tokensvc clients list")
        assert "svc.backend" in commands.run("tokensvc clients rotate")
        secret = leaked["secrets"][0]["id"]
        commands.run("tokensvc clients delete", LEAKED_SECRET_ID=secret)
        commands.run("tokensvc users revoke")
        assert code(scene.mint(MALLORY)) == "sign_in_required"
        (change,) = commands.run("tokensvc audit").splitlines()
        assert {"client_secret:added", other["id"]} <= set(change.split())
        assert added.json["id"] in change
        shown = commands.run("curl", LEAKED_SECRET=leaked["secret"])
        assert "credentials_invalid" in shown
        assert secret not in shown


def test_encryption_key_lost(scene):
    with scene.running():
        scene.sign_up("own-eve")
        assert scene.sign_in_account("own-eve", PASSWORD).status == 200
    (scene.folder / "tokensvc.db.key").unlink()
    with page(scene, "encryption-key-lost") as commands:
        assert "Restore the key" in commands.run("tokensvc doctor", status=1)
        commands.run("tokensvc stream-keys add", stdin=STREAM_API_SECRET)
        commands.run("tokensvc signing-keys rotate")
        with scene.running():
            assert "FAIL" not in commands.run("tokensvc doctor")
            assert scene.mint(ADA).status == 200
            assert scene.sign_in_account("own-eve", PASSWORD).status == 200


def test_mass_sign_out(scene):
    with scene.running(), page(scene, "mass-sign-out") as commands:
        commands.run("tokensvc app revoke --dry-run")
        assert scene.mint(ADA).status == 200
        commands.run("tokensvc app revoke --reason")
        assert code(scene.mint(ADA)) == "sign_in_required"
        wait_until(scene.refuses_app_at_stream, "Stream has the cut-off")
        commands.run("tokensvc app show")
        revocation = scene.json("app", "show")["revocation"]["id"]
        commands.run("tokensvc app show", REVOCATION_ID=revocation)
        assert scene.mint(ADA).status == 200


@pytest.mark.sec(66)
def test_database_restore(scene):
    with scene.running():
        scene.back_up()
        scene.json("users", "suspend", MALLORY)
    export = scene.command("audit", "--json", "--limit", "1000").out
    (scene.folder / "audit.jsonl").write_text(export)
    scene.lose_database()
    with page(scene, "database-restore") as commands:
        commands.run("tokensvc restore")
        assert "user:suspended" in commands.run("tokensvc after-restore")
        with scene.running():
            shown = commands.run("tokensvc doctor")
            assert "FAIL" not in shown
            assert "database:restored" in shown
            assert code(scene.mint(MALLORY)) == "user_suspended"
            assert code(scene.mint(ADA)) == "sign_in_required"


def test_issuer_outage(scene):
    with scene.running(), page(scene, "issuer-outage") as commands:
        assert scene.mint(ADA).status == 200
        scene.issuer.fault = hang_up
        assert "warn  issuer" in commands.run("tokensvc doctor")
        assert scene.mint(ADA).status == 200
        (scene.folder / "user-token").write_text(scene.tokens[ADA])
        assert ADA in commands.run("tokensvc doctor --token")
        commands.run("tokensvc token mint")
        scene.issuer.fault = None
        assert "ok    issuer" in commands.run("tokensvc doctor")


def test_stream_outage(scene):
    with scene.running(), page(scene, "stream-outage") as commands:
        # With a lost response, each state would be sent once more after a minute.
        scene.stream.fail_with(RATE_LIMITED, times=None)
        commands.run("tokensvc delivery list")
        assert scene.mint(ADA).status == 200
        commands.run("tokensvc users suspend")
        assert code(scene.mint(MALLORY)) == "user_suspended"
        assert not scene.refuses_at_stream(MALLORY)
        assert {row["subject"] for row in scene.json("delivery", "list")} == {MALLORY}
        scene.stream.faults.clear()
        commands.run("tokensvc delivery retry --reason")
        wait_until(lambda: scene.refuses_at_stream(MALLORY), "Stream has the cut-off")
        commands.run("tokensvc delivery retry")
        wait_until(lambda: scene.json("delivery", "list") == [], "Stream has every state")
        shown = commands.run("tokensvc delivery list")
        assert "Stream is up to date" in shown
        assert "applied" in shown


def test_stream_verifies_no_tokens(scene):
    settings = scene.stream.app.settings
    settings["disable_auth_checks"] = True
    with scene.running(), page(scene, "stream-verifies-no-tokens") as commands:
        assert "disable_auth_checks" in commands.run("tokensvc doctor", status=1)
        minted = scene.mint(ADA).json
        unsigned = {**minted, "token": minted["token"].rpartition(".")[0] + ".devtoken"}
        assert connects(scene.stream, unsigned)
        settings["disable_auth_checks"] = False
        assert not connects(scene.stream, unsigned)
        assert connects(scene.stream, minted)
        assert "FAIL" not in commands.run("tokensvc doctor")


def test_erasure_failed(scene):
    deletions = scene.stream.deletions
    deletions.failing = 1_000
    with scene.running(), page(scene, "erasure-failed") as commands:
        scene.json("users", "erase", MALLORY)

        def state():
            return scene.json("users", "show", MALLORY)["erasure"]["state"]

        wait_until(lambda: state() == "failed", "the erasure has failed")
        assert "planned failure" in commands.run("tokensvc delivery list")
        deletions.failing = 0
        commands.run("tokensvc delivery retry")
        wait_until(lambda: state() == "done", "the erasure is done")
        assert "done" in commands.run("tokensvc users show")
