"""Output of commands: text for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Item = TypeVar("_Item")

_PROGRESS_STEP = 1000
"""Items between two updates of the progress."""

_PLAIN = re.compile(r"[A-Za-z0-9@._:-]+")

_YEAR_10000 = 253_402_300_800
"""Epoch seconds of the year 10000, which `datetime` cannot represent."""


def json_option(command: _Command) -> _Command:
    """Add `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def write_json(value: object) -> None:
    """Print a value as JSON, in ASCII, so that no name in it can control the terminal."""
    click.echo(json.dumps(value, indent=2))


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in aligned columns."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def write_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one pair per line."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"  {name.ljust(width)}  {value}")


def with_progress(
    items: Iterable[_Item], noun: str, *, are_printed: bool = True
) -> Iterator[_Item]:
    """
    Yield items and show their number on a terminal, unless that shows the items themselves.

    Args:
        noun: Name of the items.
        are_printed: Whether the command prints something for each item on standard output.
    """
    shown = sys.stderr.isatty() and not (are_printed and sys.stdout.isatty())
    number = 0
    for number, item in enumerate(items, start=1):
        yield item
        if shown and number % _PROGRESS_STEP == 0:
            click.echo(f"{number} {noun}\r", err=True, nl=False)  # the next text replaces it
    if shown:
        click.echo(f"{number} {noun}", err=True)


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
