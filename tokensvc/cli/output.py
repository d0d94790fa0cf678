"""How commands speak: text for people, JSON for machines, and what a person may safely read."""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LAST_YEAR_WRITTEN = 253_402_300_800
"""Epoch seconds of the year 10000, which no calendar of Python's has."""


def json_option(command: _Command) -> _Command:
    """Give a command the flag `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write JSON, for machines.")(
        command
    )


def write_json(value: object) -> None:
    """Write a value for machines; ASCII alone, so that no name in it steers a terminal."""
    click.echo(json.dumps(value, indent=2))


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write rows for people, each column as wide as it needs to be."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def write_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Write what is known of one thing, a fact a line."""
    facts = list(facts)
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        click.echo(f"  {name.ljust(width)}  {value}")


def at(seconds: int | None) -> str:
    """Write epoch seconds for people, in UTC."""
    if seconds is None:
        return "never"
    if not 0 <= seconds < _LAST_YEAR_WRITTEN:
        return str(seconds)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def printable(text: str) -> str:
    """Write a text from elsewhere so that it can neither steer the terminal nor fake a line."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
