"""`tokensvc accounts`: built-in accounts for operators."""

import json
import os
import pty
import re

import pytest

from testing.accounts import PASSWORD
from testing.command_line import SCRIPT, read_terminal
from testing.service import settings_environ
from testing.warm_start import Program
from tokensvc.cli.actions import operator

ON = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}


@pytest.fixture
def tokensvc(tokensvc):
    tokensvc.settings |= ON
    return tokensvc


def events(tokensvc):
    """Return (actor, action, subject) of all events, oldest first."""
    shown = tokensvc("audit", "--json").out.splitlines()
    found = [json.loads(line) for line in shown]
    return [(event["actor"], event["action"], event["subject"]) for event in reversed(found)]


def rows(number, password_hash=None):
    return "".join(
        json.dumps({"user_id": f"u{index}", "password_hash": password_hash}) + "\n"
        for index in range(number)
    )


def test_operator_creates_and_deletes_an_account(tokensvc):
    """Also while sign-up is closed, which is the default."""
    created = tokensvc("accounts", "create", "ada", "--json", stdin=f"{PASSWORD}\n")
    assert created.json["user_id"] == "ada"
    again = tokensvc("accounts", "create", "ada", stdin=PASSWORD)
    assert (again.code, "belongs to a user" in again.err) == (1, True)
    deleted = tokensvc("accounts", "delete", "ada", "--reason", "left")
    assert (deleted.code, "ada" in deleted.out) == (0, True)
    repeated = tokensvc("accounts", "delete", "ada", "--json")
    assert (repeated.code, "no account" in repeated.err) == (1, True)
    assert events(tokensvc) == [
        (operator(), "account:created", "ada"),
        (operator(), "account:deleted", "ada"),
    ]


@pytest.mark.parametrize(
    ("password", "text"),
    [("short", "Use at least 15 characters."), ("", "no password"), (b"\xff" * 20, "not UTF-8")],
)
def test_unusable_password_is_refused(tokensvc, password, text):
    stdin = os.fsdecode(password) if isinstance(password, bytes) else password
    ended = tokensvc("accounts", "create", "ada", stdin=stdin)
    assert ended.code != 0
    assert text in ended.err
    assert events(tokensvc) == []


def test_password_is_no_argument(tokensvc):
    """It would be visible in the process list."""
    ended = tokensvc("accounts", "create", "ada", "--password", PASSWORD)
    assert (ended.code, "No such option" in ended.err) == (2, True)
    assert tokensvc("accounts", "create", "ada", PASSWORD).code == 2


def test_invitation_and_reset_code_are_printed_once(tokensvc, tmp_path):
    tokensvc("accounts", "create", "ada", stdin=PASSWORD)
    invited = tokensvc("accounts", "invite", "bob", "--json").json
    assert invited.keys() == {"invitation", "expires_at"}
    shown = tokensvc("accounts", "invite").out + tokensvc("accounts", "reset-code", "ada").out
    codes = re.findall(r"ts[ip]_[\w-]+", shown)
    assert [code[:4] for code in codes] == ["tsi_", "tsp_"]
    for file in tmp_path.glob("tokensvc.db*"):
        content = file.read_bytes()
        assert not [code for code in (*codes, invited["invitation"]) if code.encode() in content]
    unknown = tokensvc("accounts", "reset-code", "unknown-user")
    assert (unknown.code, "no account" in unknown.err) == (1, True)


def test_unused_invitation_is_listed_without_its_secret_until_withdrawn(tokensvc):
    invited = tokensvc("accounts", "invite", "bob", "--json").json
    tokensvc("accounts", "invite")
    shown = tokensvc("accounts", "invitations")
    assert invited["invitation"] not in shown.out
    listed = tokensvc("accounts", "invitations", "--json").json
    assert sorted(str(one["user_id"]) for one in listed) == ["None", "bob"]
    (of_bob,) = [one for one in listed if one["user_id"] == "bob"]
    assert of_bob["expires_at"] == invited["expires_at"]
    assert tokensvc("accounts", "withdraw", of_bob["id"], "--reason", "mistake").code == 0
    assert [one["user_id"] for one in tokensvc("accounts", "invitations", "--json").json] == [None]
    for wrong in (of_bob["id"], "inv_", "inv_%", invited["invitation"]):
        again = tokensvc("accounts", "withdraw", wrong)
        assert (again.code, "does not exist" in again.err) == (1, True)
    assert events(tokensvc)[-1] == (operator(), "invitation:withdrawn", "bob")


def test_accounts_are_listed_in_pages_and_shown(tokensvc):
    assert "accounts create" in tokensvc("accounts", "list").out
    tokensvc("accounts", "import", "-", stdin=rows(3))
    first = tokensvc("accounts", "list", "--limit", "2")
    assert [line.split()[0] for line in first.out.splitlines()] == ["USER", "u0", "u1"]
    assert first.err == "For more: --after u1\n"
    rest = tokensvc("accounts", "list", "--after", "u1", "--json").json
    assert [(one["user_id"], one["has_password"]) for one in rest] == [("u2", False)]
    shown = tokensvc("accounts", "show", "u2", "--json").json
    assert (shown["user_id"], shown["failed_sign_ins"]) == ("u2", 0)
    assert "failed sign-ins  0" in tokensvc("accounts", "show", "u2").out
    unknown = tokensvc("accounts", "show", "unknown-user")
    assert (unknown.code, "no account" in unknown.err) == (1, True)


def test_import_reports_bad_rows_and_can_be_repeated(tokensvc, tmp_path):
    """From a file and from standard input; the exit status is 1 because of the bad row."""
    lines = rows(2) + '{"user_id": "u2"}\n' + rows(4)[len(rows(3)) :]
    (tmp_path / "rows.jsonl").write_text(lines)
    first = tokensvc("accounts", "import", "rows.jsonl")
    assert (first.code, first.out) == (1, "Created 3, unchanged 0, bad 1.\n")
    assert "Line 3: Object missing required field `password_hash`" in first.err
    again = tokensvc("accounts", "import", "-", "--json", stdin=lines)
    assert again.code == 1
    assert {name: again.json[name] for name in ("created", "unchanged", "bad")} == {
        "created": 0,
        "unchanged": 3,
        "bad": 1,
    }
    assert [row["line"] for row in again.json["bad_rows"]] == [3]
    good = tokensvc("accounts", "import", "-", stdin=rows(2))
    assert (good.code, good.out) == (0, "Created 0, unchanged 2, bad 0.\n")


def test_export_is_a_new_file_for_its_owner_only(tokensvc, tmp_path):
    tokensvc("accounts", "import", "-", stdin=rows(3))
    assert tokensvc("accounts", "export", "all.jsonl").code == 0
    path = tmp_path / "all.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    assert tokensvc("accounts", "export", "again.jsonl", "--json").json == {"exported": 3}
    assert len(path.read_text().splitlines()) == 3
    again = tokensvc("accounts", "export", "all.jsonl")
    assert (again.code, "File exists" in again.err) == (1, True)
    printed = tokensvc("accounts", "export", "-")
    assert printed.out == path.read_text()
    read = tokensvc("accounts", "import", "all.jsonl", "--json").json
    assert (read["unchanged"], read["bad"]) == (3, 0)
    assert tokensvc("accounts", "import", "missing.jsonl").code == 1


def test_import_shows_its_progress_on_a_terminal(tokensvc):
    """Standard output may be the terminal too."""
    terminal, end = pty.openpty()
    (tokensvc.folder / "rows").write_text(rows(2500))
    command = [SCRIPT, "accounts", "import", "-"]
    environ = settings_environ(tokensvc.folder, **ON)
    with (tokensvc.folder / "rows").open() as given:
        files = {"stdin": given.fileno(), "stdout": end, "stderr": end}
        assert Program(command, cwd=tokensvc.folder, env=environ, **files).wait(30) == 0
    os.close(end)
    shown = read_terminal(terminal)
    assert [int(number) for number in re.findall(r"(\d+) rows", shown)] == [1000, 2000, 2500]
    assert "Created 2500" in shown


def test_command_without_built_in_accounts_names_the_setting(tokensvc):
    ended = tokensvc("accounts", "invite", TOKENSVC_ACCOUNTS__ENABLED="false")
    assert (ended.code, "accounts.enabled" in ended.err) == (1, True)
