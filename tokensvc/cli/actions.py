"""What the commands of all acts take: a reason, and whether in earnest; and who gives the order."""

import functools
import getpass
import os
from collections.abc import Callable
from typing import Any

import click

from tokensvc.core.actions import ActionContext

_MAX_REASON = 500


def reason_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--reason`."""
    return click.option(
        "--reason", metavar="TEXT", callback=_check_reason, help="Why, for the audit trail."
    )(command)


def action_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--reason` and `--dry-run`, and hand it the `context` that they make."""

    @reason_option
    @click.option("--dry-run", is_flag=True, help="Only say what would come of it.")
    @functools.wraps(command)
    def with_order(*args: Any, reason: str | None, dry_run: bool, **options: Any) -> Any:
        return command(*args, context=ActionContext(operator(), reason, dry_run), **options)

    return with_order


def operator() -> str:
    """Name the person at the command line, as the audit trail does."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        login = f"uid-{os.getuid()}"
    return f"cli:{login}"


def _check_reason(_context: click.Context, _option: click.Parameter, value: str | None) -> Any:
    if value is not None and len(value) > _MAX_REASON:
        raise click.BadParameter(f"it has over {_MAX_REASON} characters.")
    if value is not None and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise click.BadParameter("it is not UTF-8.")
    return value
