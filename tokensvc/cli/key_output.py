"""Output of the commands of both key rings."""

from collections.abc import Mapping, Sequence

import click
import msgspec

from tokensvc.cli.actions import DRY_RUN
from tokensvc.cli.output import format_time, write_facts, write_json, write_table
from tokensvc.sessions.access_tokens.rotation import SigningKeyActionResult
from tokensvc.stream.keys.rotation import StreamKeyActionResult
from tokensvc.stream.keys.states import KeyInfo

ALL_KEYS = 10_000
"""Size of the page that holds all keys of a ring."""

_HEADS = {"created_at": "ADDED"}


def print_keys(
    keys: Sequence[KeyInfo],
    members: Sequence[str],
    *,
    as_json: bool,
    if_empty: str,
) -> None:
    """
    Print the keys of a ring as a table.

    Args:
        members: Members to print, one per column.
        if_empty: Text to print instead of an empty table.
    """
    if as_json:
        write_json(msgspec.to_builtins(keys))
    elif keys:
        heads = [_HEADS.get(name) or _words(name.removesuffix("_at")).upper() for name in members]
        write_table(heads, [[_cell(key, name) for name in members] for key in keys])
    else:
        click.echo(if_empty)


def print_result(
    result: StreamKeyActionResult | SigningKeyActionResult,
    members: Sequence[str],
    *,
    as_json: bool,
    more: Mapping[str, int] | None = None,
) -> None:
    """
    Print the key of an action, and the others that the action changed.

    Args:
        members: Members to print.
        more: Further members of the JSON.
    """
    if as_json:
        write_json(msgspec.to_builtins(result) | (more or {}))
        return
    if result.dry_run:
        click.echo(DRY_RUN)
    print_key(result, members)
    for other in result.also_changed or []:
        click.echo("Also changed:")
        print_key(other, members)


def print_key(key: KeyInfo, members: Sequence[str]) -> None:
    """Print members of a key, one per line."""
    write_facts((_words(name), getattr(key, name)) for name in members)


def _cell(key: KeyInfo, name: str) -> str:
    value = getattr(key, name)
    return format_time(value) if name.endswith("_at") else value


def _words(name: str) -> str:
    return name.replace("_", " ")
