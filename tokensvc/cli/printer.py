"""
The printer of all commands: lines for people, or JSON for programs.

Lines and notes are escaped here, so that no untrusted text can control the terminal or add a line.
"""

import functools
import json
import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec

from tokensvc.core.errors import Refusal, StartupError
from tokensvc.core.findings import State
from tokensvc.ops.health import CheckResult

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Item = TypeVar("_Item")

DRY_RUN = "Dry run, nothing changed. Result:"
"""What the result of a dry run begins with."""

_PROGRESS_STEP = 1000
"""Items between two updates of the progress."""

_PLAIN = re.compile(r"[A-Za-z0-9@._:-]+")
_STATES = {State.OK: "ok  ", State.DEGRADED: "warn", State.FAILED: "FAIL"}

_YEAR_10000 = 253_402_300_800
"""Epoch seconds of the year 10000, which `datetime` cannot represent."""


@dataclass(frozen=True, slots=True)
class Result:
    """
    What a command prints.

    Attributes:
        value: Value for `--json`.
        lines: Lines for people.
        notes: Lines for people on standard error. `value` contains what they say.
        failed: Whether the exit status is 1.
    """

    value: object
    lines: Iterable[str]
    notes: Iterable[str] = ()
    failed: bool = False


def json_option(command: _Command) -> _Command:
    """Add `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def prints_result(command: Callable[..., Result]) -> Callable[..., None]:
    """Add `--json` to a command, and print the result that it returns."""

    @json_option
    @functools.wraps(command)
    def print_result(*args: Any, as_json: bool, **options: Any) -> None:
        result = command(*args, **options)
        if as_json:
            print_json(result.value)
        else:
            for line in result.lines:
                print_line(line)
            for line in result.notes:
                print_note(line)
        if result.failed:
            raise SystemExit(1)

    return print_result


def print_checks(checks: Iterable[CheckResult], *, as_json: bool) -> None:
    """
    Print the result of each check as soon as it is known, and then for people their numbers.

    Exit with status 1 if one failed.
    """
    results = []
    for check in checks:
        results.append({"check": check.name, "state": check.state, "detail": check.detail})
        if not as_json:
            print_line(check_line(check))
    numbers = Counter(result["state"] for result in results)
    if as_json:
        print_json(results)
    else:
        print_line(_count_line(numbers))
    if numbers[State.FAILED]:
        raise SystemExit(1)


def _count_line(numbers: Counter[str]) -> str:
    failed, warned, number = numbers[State.FAILED], numbers[State.DEGRADED], numbers.total()
    if not failed and not warned:
        return f"All {number} checks are ok."
    return f"Of {number} checks, {failed} failed, {warned} warned, {numbers[State.OK]} are ok."


def names_below(title: str, names: Iterable[str]) -> str:
    """Return the names that an option accepts, as the text below the options of a command."""
    listed = textwrap.fill(", ".join(names), 76, break_on_hyphens=False)
    return f"\b\n{title}:\n{textwrap.indent(listed, '  ')}"


def print_item(value: object, lines: Iterable[str], *, as_json: bool) -> None:
    """Print one of many results: a line of JSON, or lines for people."""
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(value)))
        return
    for line in lines:
        print_line(line)


def print_json(value: object) -> None:
    """Print a value as JSON, in ASCII, so that no name in it can control the terminal."""
    click.echo(json.dumps(msgspec.to_builtins(value), indent=2))


def print_line(line: str) -> None:
    """Print a line."""
    click.echo(printable(line))


def print_note(line: str) -> None:
    """Print a line on standard error."""
    click.echo(printable(line), err=True)


def action_result(
    value: msgspec.Struct, lines: Iterable[str], *, more: Mapping[str, int] | None = None
) -> Result:
    """
    Return the result of an action.

    Args:
        value: Result of a service, which may have `dry_run` and `warning`.
        lines: Lines for people, without both.
        more: Further members of the JSON.
    """
    head = [DRY_RUN] if getattr(value, "dry_run", False) else []
    warning = getattr(value, "warning", None)
    return Result(
        msgspec.to_builtins(value) | (more or {}),
        [*head, *lines],
        [f"Warning: {warning}"] if warning else [],
    )


def check_line(check: CheckResult) -> str:
    """Return the result of a check as one line."""
    detail = f": {check.detail}" if check.detail else ""
    # A name with a space has a part that the operator chose; the others are machine names.
    name = check.name if " " in check.name else check.name.replace("_", " ")
    return f"{_STATES[check.state]}  {name}{detail}"


def facts(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Return names and values as lines with two columns."""
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    return [f"  {name.ljust(width)}  {value}" for name, value in pairs]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, if_empty: str) -> list[str]:
    """Return rows as lines with aligned columns, or a sentence if there is no row."""
    lines = [head, *([printable(cell) for cell in row] for row in rows)]
    if len(lines) == 1:
        return [if_empty]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def members(record: object, names: Iterable[str]) -> list[str]:
    """Return members of a record as lines, without those that are null."""
    values = [(name, getattr(record, name)) for name in names]
    return facts((_label(name), _cell(name, value)) for name, value in values if value is not None)


def member_table(records: Iterable[object], names: Sequence[str], *, if_empty: str) -> list[str]:
    """Return members of records as a table."""
    rows = [cells(record, names) for record in records]
    return table([_label(name).upper() for name in names], rows, if_empty=if_empty)


def page_options(command: _Command) -> _Command:
    """Add `--limit` and `--after` to a command that lists records by their IDs."""
    limit = click.option(
        "--limit", default=50, show_default=True, type=click.IntRange(1, 10_000), help="Lines."
    )
    return limit(
        click.option("--after", metavar="ID", help="List only what comes after this one.")(command)
    )


def page_result(found: Sequence[Any], limit: int, lines: Iterable[str]) -> Result:
    """Return a page of users, and how to get the next one if `found` has one more than `limit`."""
    more = [f"For more: --after {found[limit - 1].user_id}"] if len(found) > limit else []
    return Result(found[:limit], lines, more)


def cells(record: object, names: Iterable[str]) -> list[str]:
    """Return members of a record as cells of a table."""
    return [_cell(name, getattr(record, name)) for name in names]


def key_lines(result: msgspec.Struct, names: Sequence[str]) -> list[str]:
    """Return members of an action's key, and of the other keys that the action changed."""
    lines = members(result, names)
    for other in getattr(result, "also_changed", None) or []:
        lines += ["Also changed:", *members(other, names)]
    return lines


def _label(member: str) -> str:
    return member.removesuffix("_at").replace("_", " ")


def _cell(member: str, value: Any) -> str:
    if member.endswith("_at"):
        return format_time(value)
    if isinstance(value, bool):
        return yes_or_no(value)
    return " ".join(value) if isinstance(value, list) else str(value)


def yes_or_no(value: object) -> str:
    """Return whether a value is true."""
    return "yes" if value else "no"


def error_text(error: Refusal | StartupError) -> str:
    """Return the text of an expected failure."""
    return error.operator_text if isinstance(error, Refusal) else str(error)


def with_progress(
    items: Iterable[_Item], noun: str, *, are_printed: bool = True
) -> Iterator[_Item]:
    """
    Yield items and show their number on a terminal, unless that shows the items themselves.

    Args:
        noun: Name of the items.
        are_printed: Whether the command prints something for each item on standard output.
    """
    shown = not (are_printed and sys.stdout.isatty())
    number = 0
    for number, item in enumerate(items, start=1):
        yield item
        if shown and number % _PROGRESS_STEP == 0:
            print_progress(f"{number} {noun}")
    if shown:
        print_progress(f"{number} {noun}", is_last=True)


def print_progress(text: str, *, is_last: bool = False) -> None:
    """Print a line on standard error, if that is a terminal. The next, longer one replaces it."""
    if sys.stderr.isatty():
        click.echo(text if is_last else f"{text}\r", err=True, nl=is_last)


def format_time(seconds: int | None) -> str:
    """Return epoch seconds as a UTC date and time, or "never" for `None`."""
    if seconds is None:
        return "never"
    if not 0 <= seconds < _YEAR_10000:
        return str(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def printable(text: str) -> str:
    """Escape untrusted text, so that it can neither control the terminal nor add a line."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def quoted(text: str) -> str:
    """Return untrusted text as one word of a line: in quotes, unless all characters are plain."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(escaped)}"'
