"""The help of all commands, and what a mistyped one is told."""

import re
from collections.abc import Iterator

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from tokensvc.audit.rules import Action
from tokensvc.cli import main
from tokensvc.core.scopes import SCOPES

SECTIONS = ["Run", "People", "Keys", "Backup", "Diagnose"]


def paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of each command."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from paths(found, (*path, name))


def help_of(*path: str) -> str:
    return CliRunner().invoke(main, [*path, "--help"], catch_exceptions=False).stdout


def test_commands_are_in_sections_in_the_order_of_their_use() -> None:
    shown = help_of()
    assert re.findall(r"^(\w+):$", shown, re.MULTILINE) == ["Options", *SECTIONS]
    assert re.findall(r"^  ([a-z][a-z-]+)  +[A-Z]", shown, re.MULTILINE)[:3] == [
        "serve",
        "worker",
        "migrate",
    ]


def test_no_help_has_a_line_that_is_wider_than_the_terminal() -> None:
    """The names of all actions or scopes are below the options, not in one of them."""
    for path in paths(main):
        assert max(map(len, help_of(*path).splitlines())) <= 80, path
    assert {*re.split(r"[,\s]+", help_of("audit"))} >= {*Action}
    for command in ("create", "update"):
        assert {*re.split(r"[,\s]+", help_of("clients", command))} >= SCOPES


def test_short_help_of_each_command_fits_on_a_line() -> None:
    for path in paths(main):
        listed = help_of(*path).partition("--help")[2]
        lines = re.findall(r"^  [a-z][a-z-]+  +[A-Z].*$", listed, re.MULTILINE)
        assert len(lines) == sum(
            len(one) == len(path) + 1 and one[:-1] == path for one in paths(main)
        )
        for line in lines:
            assert line.endswith(".") and not line.endswith(".."), line


@pytest.mark.parametrize(
    ("words", "near"), [(["user"], "'users'"), (["users", "suspnd"], "'suspend'")]
)
def test_mistyped_command_is_told_what_is_near(words: list[str], near: str) -> None:
    ended = CliRunner().invoke(main, words)
    assert (ended.exit_code, near in ended.stderr) == (2, True)


def test_shell_completes_commands() -> None:
    """Of modules that are not imported yet, too."""
    completed = ShellComplete(main, {}, "tokensvc", "_TOKENSVC_COMPLETE").get_completions([], "us")
    assert [item.value for item in completed] == ["users", "user-id"]
