"""Options that all commands with an action share, and the operator's name."""

import functools
import os
import pwd
from collections.abc import Callable
from typing import Any

import click

from tokensvc.cli.printer import printable
from tokensvc.core.actions import ActionContext

_MAX_REASON = 500


def reason_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--reason` to a command, which receives it in its `context`."""

    @click.option(
        "--reason", metavar="TEXT", callback=_check_reason, help="Reason for the audit trail."
    )
    @functools.wraps(command)
    def with_context(*args: Any, reason: str | None, dry_run: bool = False, **options: Any) -> Any:
        return command(*args, context=ActionContext(operator(), reason, dry_run), **options)

    return with_context


def action_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--reason` and `--dry-run` to a command, which receives them in its `context`."""
    dry_run = click.option(
        "--dry-run", is_flag=True, help="Print the result without changing anything."
    )
    return reason_option(dry_run(command))


def operator() -> str:
    """
    Return the operator's name in audit events: `cli:` and the name of the process's user.

    The name is from the password database, because anyone can set `LOGNAME`. It is one word.
    """
    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user may have no name
        name = f"uid-{uid}"
    return f"cli:{_as_word(name)}"


def _as_word(name: str) -> str:
    """Return the name without white space and control characters; no two names become equal."""
    return printable(name.replace("\\", r"\\")).replace(" ", r"\x20")


def _check_reason(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is not None and len(value) > _MAX_REASON:
        raise click.BadParameter(f"it is longer than {_MAX_REASON} characters.")
    if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise click.BadParameter("it is not UTF-8.")
    return value
