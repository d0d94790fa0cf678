"""`tokensvc keys`: the encryption keys that wrap every secret in the database."""

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.output import json_option, write_json
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.keys.reencryption import Progress

_UNREADABLE = "no key of this process unwraps them: put that key back, and run this again."


@click.group("keys")
def keys() -> None:
    """
    Change the encryption keys of what is stored.

    Without a gap: add the new key last in TOKENSVC_ENCRYPTION_KEYS on every instance, then put it
    first on every instance, then run `tokensvc keys reencrypt`, then drop the old key.
    """


@keys.command("reencrypt")
@action_options
@json_option
def reencrypt(*, context: ActionContext, as_json: bool) -> None:
    """
    Wrap every stored secret anew with the first encryption key.

    It may run beside traffic, be stopped and be run again. Ends with status 1 while rows are left
    under other keys, and names these by their fingerprints; with --dry-run if rows would be left.
    """
    progress = Progress()
    done = "would be wrapped anew" if context.dry_run else "wrapped anew"
    with opened_services(with_keys=False) as services:
        for progress in services.reencryption.run(context):
            click.echo(f"{progress.seen} looked at, {progress.rewrapped} {done}", err=True)
        remaining = services.reencryption.remaining()
    if as_json:
        write_json(
            {
                "rewrapped": progress.rewrapped,
                "unreadable": progress.unreadable,
                "remaining": remaining,
                "dry_run": context.dry_run,
            }
        )
    else:
        _tell(progress, remaining, context)
    if progress.unreadable or (remaining and not context.dry_run):
        raise SystemExit(1)


def _tell(progress: Progress, remaining: dict[str, int], context: ActionContext) -> None:
    if context.dry_run:
        click.echo(f"Nothing was done. {progress.rewrapped} rows would be wrapped anew.")
        if progress.unreadable:
            click.echo(
                f"{progress.unreadable} rows would be left, under one of {', '.join(remaining)}: "
                f"{_UNREADABLE}"
            )
        return
    click.echo(f"{progress.rewrapped} rows wrapped anew.")
    for key, count in remaining.items():
        click.echo(f"{count} rows are under the key {key} still.")
    if progress.unreadable:
        click.echo(_UNREADABLE.capitalize())
    elif remaining:
        click.echo("They came meanwhile, from a process with that key first: run this again.")
    else:
        click.echo("No row is under another key: the others can be dropped.")
