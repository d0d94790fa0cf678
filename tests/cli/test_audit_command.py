"""`tokensvc audit`, as an operator runs it."""

import json
import os
import pwd
import signal
from collections.abc import Iterator
from typing import TextIO

import pytest

from testing.command_line import SCRIPT
from testing.service import settings_environ
from testing.warm_start import Program
from tests.cli.conftest import Tokensvc
from tokensvc.audit.rules import Action
from tokensvc.audit.store import record
from tokensvc.cli.actions import operator
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Database

FOUR = [("ada", "one"), ("bob", "two"), ("ada", "three"), ("eve", "four")]


@pytest.fixture
def audited(tokensvc: Tokensvc) -> Tokensvc:
    """Return the command on a trail with four events."""
    for user_id, reason in FOUR:
        assert tokensvc("users", "revoke", user_id, "--reason", reason).code == 0
    return tokensvc


def reasons(tokensvc: Tokensvc, *options: str) -> list[str]:
    lines = tokensvc("audit", "--json", *options).out.splitlines()
    return [json.loads(line)["reason"] for line in lines]


def printed(tokensvc: Tokensvc, *options: str) -> list[str]:
    """Return each printed line without the ID and the time."""
    return [line.split("  ", 2)[2] for line in tokensvc("audit", *options).out.splitlines()]


def printed_details(tokensvc: Tokensvc, user_id: str) -> str:
    """Return how the details of the only event of a user are printed."""
    details = json.loads(tokensvc("audit", "--json", "--subject", user_id).out)["details"]
    return (
        f"  revocation {details['revocation']}  tokens_valid_after {details['tokens_valid_after']}"
    )


@pytest.mark.sec(59)
def test_events_are_printed_filtered_and_by_page(audited: Tokensvc) -> None:
    """With --json each event is one line; the next page starts after the ID of the last line."""
    assert reasons(audited) == ["four", "three", "two", "one"]
    assert reasons(audited, "--subject", "ada") == ["three", "one"]
    assert reasons(audited, "--subject", "ada", "--limit", "1") == ["three"]
    assert reasons(audited, "--actor", "cli:unknown") == []
    page = audited("audit", "--json", "--limit", "2")
    last = json.loads(page.out.splitlines()[-1])["id"]
    assert f"--after {last}" in page.err
    assert reasons(audited, "--after", last) == ["two", "one"]


def test_event_is_printed_as_one_line_without_control_characters(audited: Tokensvc) -> None:
    audited("users", "suspend", "mallory", "--reason", "\x1b[31mred\nforged line")
    details, reason = printed_details(audited, "mallory"), r'"\x1b[31mred\nforged line"'
    assert printed(audited, "--action", "user:suspended") == [
        f"{operator()}  user:suspended  mallory{details}  reason {reason}"
    ]


@pytest.mark.sec(59)
def test_environment_of_a_command_does_not_change_its_actor(tokensvc: Tokensvc) -> None:
    forged = "alice  user:revoked  dave"
    names = dict.fromkeys(("LOGNAME", "USER", "LNAME", "USERNAME"), forged)
    assert tokensvc("token", "mint", "carol", **names).code == 0
    actor = f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    assert printed(tokensvc, "--subject", "carol") == [f"{actor}  token:minted  carol"]


@pytest.mark.sec(58, 59)
@pytest.mark.parametrize(
    ("name", "actor"),
    [
        ("alice  user:revoked  dave", r"cli:alice\x20\x20user:revoked\x20\x20dave"),
        ("ACME\\x20", r"cli:ACME\\x20"),
        ("a\tb\n\x1b[31m\u202e\u00a0", r"cli:a\tb\n\x1b[31m\u202e\xa0"),
        ("jos\u00e9\udc80", "cli:jos\u00e9\\udc80"),
    ],
    ids=["spaces", "backslash", "control characters", "not ASCII"],
)
def test_name_of_the_operator_is_one_word(
    tokensvc: Tokensvc, monkeypatch: pytest.MonkeyPatch, name: str, actor: str
) -> None:
    """Two names never give the same actor, and the output quotes unusual ones."""
    entry = pwd.struct_passwd((name, "x", 1, 1, "", "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _uid: entry)
    assert tokensvc("users", "revoke", "dave").code == 0
    assert json.loads(tokensvc("audit", "--json", "--subject", "dave").out)["actor"] == actor
    quoted = '"' + actor.replace("\\", "\\\\") + '"'
    details = printed_details(tokensvc, "dave")
    assert printed(tokensvc) == [f"{quoted}  user:revoked  dave{details}"]


@pytest.mark.sec(58, 59)
def test_text_of_an_event_cannot_look_like_another_part_of_the_line(tokensvc: Tokensvc) -> None:
    """Not a reason, an actor that an earlier release recorded, or the name of a replayed fact."""
    reason = 'x  user:revoked  "dave" \\'
    assert tokensvc("users", "suspend", "mallory", "--reason", reason).code == 0
    database = Database.open(f"sqlite:///{tokensvc.folder / 'tokensvc.db'}", pool_size=1)
    with database.write() as tx:
        context = ActionContext("cli:alice  user:revoked  dave")
        details = {"x\n\x1b[31m": "y  z"}
        record(tx, context, Action.USER_REVOKED, "", now=0.0, details=details)
    database.close()
    details = printed_details(tokensvc, "mallory")
    quoted = r'"x  user:revoked  \"dave\" \\"'
    assert printed(tokensvc) == [
        f"{operator()}  user:suspended  mallory{details}  reason {quoted}",
        r'"cli:alice  user:revoked  dave"  user:revoked  ""  "x\n\x1b[31m" "y  z"',
    ]


@pytest.fixture
def following(audited: Tokensvc) -> Iterator[tuple[Program, TextIO]]:
    """Yield the command while it follows the trail, and its output."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as output:
        with os.fdopen(writer) as end:
            program = Program(
                [SCRIPT, "audit", "--follow", "--json", "--limit", "2"],
                cwd=audited.folder,
                env=settings_environ(audited.folder),
                stdout=end.fileno(),
            )
        yield program, output
        program.kill()


def test_follow_prints_new_events(audited: Tokensvc, following: tuple[Program, TextIO]) -> None:
    """The latest events come first, oldest first."""
    program, output = following

    def coming() -> str:
        reason: str = json.loads(output.readline())["reason"]
        return reason

    assert [coming(), coming()] == ["three", "four"]
    audited("users", "revoke", "ada", "--reason", "five")
    assert coming() == "five"
    audited("users", "revoke", "bob", "--reason", "six")
    assert coming() == "six"
    program.send_signal(signal.SIGINT)
    assert program.wait(timeout=30) == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--action", "user:gone"),
        ("--limit", "0"),
        ("--follow", "--after", "evt_1"),
    ],
)
def test_invalid_usage_exits_with_2(tokensvc: Tokensvc, options: tuple[str, ...]) -> None:
    assert tokensvc("audit", *options).code == 2
