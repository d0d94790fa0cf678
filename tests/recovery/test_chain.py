"""An export of the audit trail is authenticated: a replay refuses a line that does not fit."""

import json
import signal

import msgspec
import pytest

from testing.command_line import SCRIPT
from testing.database_kinds import on_postgresql
from testing.waiting import wait_until
from testing.warm_start import Program
from tests.recovery.test_malformed_lines import EVENT
from tokensvc.audit.rules import AuditEvent
from tokensvc.recovery.export import chained, parse
from tokensvc.vault.vault import Vault

pytestmark = pytest.mark.sec(69)

EXPORT = ("audit", "--json", "--limit", "1000")
NAMES = ("ada", "bob", "eve", "mia", "tom")


def users(action, *names):
    return [("users", action, f"user-{name}") for name in names]


def refusal(scene, export, *options):
    """Return the text of a replay that must be refused and change nothing."""
    ended = scene.command("after-restore", "--replay", str(export), *options)
    assert ended.code == 1, ended.out
    assert "Traceback" not in ended.err
    assert "was restored from a backup" in scene.command("token", "mint", "user-zoe").err
    return ended.err


def suspended(scene, name):
    return scene.json("users", "show", f"user-{name}")["suspended"]


def forged(line, **members):
    """Return a line of an attacker who can write to the file."""
    return json.dumps({**json.loads(line), **members})


@pytest.fixture
def lines(scene, lost):
    """Return the lines of an export of five suspensions, newest first, after the restore."""
    export = lost(*users("suspend", *NAMES))
    return export.read_text().splitlines()


def write(scene, lines):
    export = scene.folder / "audit.jsonl"
    export.write_text("".join(f"{line}\n" for line in lines))
    return export


def test_appended_reinstatement_is_refused_with_its_line(scene, lines):
    """Also one that is in the export, and one that pretends to start a chain."""
    last = json.loads(lines[-1])
    new = {"id": f"{last['id'][:-1]}f", "action": "user:reinstated"}
    for forgery in (
        forged(lines[0], **new),
        forged(lines[1], **new),
        lines[2],
        forged(lines[1], **new, chain={**json.loads(lines[1])["chain"], "start": ""}),
    ):
        export = write(scene, [*lines, forgery])
        assert "Line 6 of the export does not continue the chain" in refusal(scene, export)
    without = {name: value for name, value in last.items() if name != "chain"}
    export = write(scene, [*lines, json.dumps({**without, **new})])
    assert "Line 6 of the export has no `chain`" in refusal(scene, export)


@pytest.mark.parametrize(
    ("change", "number"),
    [
        (lambda lines: [forged(lines[0], subject="user-zoe"), *lines[1:]], 1),
        (lambda lines: [*lines[:3], forged(lines[3], time=1), *lines[4:]], 4),
        (lambda lines: [*lines[:2], forged(lines[2], details=None), *lines[3:]], 3),
        (lambda lines: [*lines[:2], *lines[3:]], 3),
        (lambda lines: lines[1:], 1),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], 2),
        (lambda lines: lines[::-1], 1),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], 3),
    ],
    ids=["first", "time", "details", "removed", "beheaded", "moved", "reversed", "doubled"],
)
def test_changed_removed_or_moved_line_is_refused_with_its_number(scene, lines, change, number):
    export = write(scene, change(lines))
    assert f"Line {number} of the export does not" in refusal(scene, export, "--complete")


def test_unverified_export_is_replayed_and_the_output_says_so(scene, lines):
    """The operator sees who was reinstated."""
    reinstated = forged(lines[0], id="evt_ffffffffffff0", action="user:reinstated", time=2**33)
    export = write(scene, [*lines, reinstated])
    command = ("after-restore", "--replay", str(export), "--unverified")
    assert scene.json(*command, "--dry-run")["verified"] is False
    ended = scene.command(*command)
    assert ended.code == 0
    assert "not verified: anyone who could write to it may have added lines" in ended.out
    assert "reinstated" in ended.out.replace("user:reinstated", "")
    assert "user-tom" in ended.out
    assert "replayed user:suspended" in ended.out
    assert [suspended(scene, name) for name in ("ada", "tom")] == [True, False]


def test_verified_export_tells_whom_it_reinstated(scene, lost, replay):
    """A user who was suspended again later is not among them."""
    for command in users("suspend", "ada", "bob", "eve"):
        scene.json(*command)
    export = lost(*users("reinstate", "ada", "bob"), *users("suspend", "bob"))
    result = replay(export, "--complete")
    assert (result["reinstated"], result["verified"]) == (["user-ada"], True)
    assert result["applied"] == {"user:reinstated": 2, "user:suspended": 1}
    assert [suspended(scene, name) for name in ("ada", "bob", "eve")] == [False, True, True]


def test_export_that_several_runs_appended_to_is_verified(scene, lost, replay):
    """By cron, by pages of older events, and by `--follow` that was started again."""
    scene.json("users", "suspend", "user-zoe")
    scene.back_up()
    export = scene.folder / "audit.jsonl"
    runs = []

    def follow(last):
        process = Program(
            [SCRIPT, *EXPORT, "--follow"],
            cwd=scene.folder,
            env=scene.environ,
            stdout=appended.fileno(),
        )
        wait_until(lambda: last in export.read_text(), "the event is exported")
        process.send_signal(signal.SIGTERM)
        process.wait(30)

    with export.open("ab") as appended:
        for command in users("suspend", "ada", "bob"):
            scene.json(*command)
        follow("user-bob")
        scene.json("users", "reinstate", "user-ada")
        follow("user:reinstated")
    scene.json("users", "suspend", "user-eve")
    page = scene.command("audit", "--json", "--limit", "2").out
    after = json.loads(page.splitlines()[-1])["id"]
    older = scene.command(*EXPORT, "--after", after).out
    runs += [page, older]
    export.write_text(export.read_text() + "".join(runs))
    scene.lose_database()
    scene.restore()
    result = replay(export, "--complete")
    assert (result["cut_off_because"], result["verified"]) == (None, True)
    assert result["applied"] == {"user:suspended": 3, "user:reinstated": 1}


def test_pages_of_one_export_have_no_gap_between_them(scene, replay):
    """The second page has no event of the first one, but says after which it continues."""
    scene.back_up()
    for command in users("suspend", *NAMES):
        scene.json(*command)
    first = scene.command("audit", "--json", "--limit", "2").out
    after = json.loads(first.splitlines()[-1])["id"]
    export = scene.folder / "audit.jsonl"
    export.write_text(first + scene.command(*EXPORT, "--after", after).out)
    scene.lose_database()
    scene.restore()
    result = replay(export, "--complete")
    assert (result["cut_off_because"], result["applied"]) == (None, {"user:suspended": 5})


def test_gap_between_two_runs_signs_everyone_out(scene, replay):
    """The end of the first run was removed, or the second one was started too late."""
    scene.json("users", "suspend", "user-zoe")
    scene.back_up()
    first = scene.command(*EXPORT).out
    for command in users("suspend", *NAMES):
        scene.json(*command)
    second = scene.command("audit", "--json", "--limit", "2").out
    export = scene.folder / "audit.jsonl"
    export.write_text(first + second)
    scene.lose_database()
    scene.restore()
    result = replay(export, "--complete")
    assert "may lack events before its line 2" in result["cut_off_because"]
    assert result["cut_off"] is not None


def test_event_that_a_run_repeats_does_not_hide_a_gap():
    """`--follow` repeats events after the clock was set back."""
    vault = Vault([Vault.generate_key()])

    def run(*numbers):
        line = chained(vault, "")
        events = [{**EVENT, "id": f"evt_{number}"} for number in numbers]
        return [json.dumps(line(msgspec.convert(e, AuditEvent))) for e in events]

    export = parse([f"{line}\n".encode() for line in [*run(1, 2), *run(4, 5, 4)]], vault)
    assert export.gap == 3


@on_postgresql
def test_export_of_before_a_roll_of_the_encryption_key_needs_that_key(scene, replay):
    """The error names it by its fingerprint. It may be the last one."""
    (old,) = json.loads(scene.settings["TOKENSVC_ENCRYPTION_KEYS"])
    new = Vault.generate_key()
    scene.back_up()
    scene.json("users", "suspend", "user-ada")
    first = scene.command(*EXPORT).out
    scene.settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([new, old])
    scene.json("users", "suspend", "user-bob")
    export = scene.folder / "audit.jsonl"
    export.write_text(first + scene.command(*EXPORT).out)
    scene.lose_database()
    scene.restore()
    scene.settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([new])
    ended = scene.command("after-restore", "--replay", str(export))
    assert ended.code == 1
    assert f"Line 1 of the export cannot be verified: {fingerprint_text(old)}" in ended.err
    scene.settings["TOKENSVC_ENCRYPTION_KEYS"] = json.dumps([new, old])
    assert replay(export, "--complete")["verified"] is True


def fingerprint_text(key):
    return f"no encryption key of this process has the fingerprint {Vault([key]).first_fingerprint}"


def test_lines_of_another_encryption_key_are_refused(scene, lines):
    """A stranger can make a chain, but not with this key."""
    key = json.loads(lines[0])["chain"]["key"]
    forgeries = [forged(line, chain={"key": "0" * 16, "mac": "0" * 64}) for line in lines]
    assert "Line 1 of the export" in refusal(scene, write(scene, forgeries))
    forgeries = [forged(line, chain={"key": key, "mac": "\u00e9", "start": ""}) for line in lines]
    assert "Line 1 of the export" in refusal(scene, write(scene, forgeries))


def test_export_with_a_filter_or_without_the_key_has_no_chain(scene):
    """It lacks events, or cannot be verified."""
    scene.json("users", "suspend", "user-ada")
    filtered = scene.command("audit", "--json", "--action", "user:suspended").out
    assert json.loads(filtered)["subject"] == "user-ada"
    assert "chain" not in json.loads(filtered)
    for path in scene.folder.glob("*.key"):
        path.unlink()
    ended = scene.command("audit", "--json")
    assert "The lines have no chain" in ended.err
    assert "chain" not in json.loads(ended.out.splitlines()[0])
