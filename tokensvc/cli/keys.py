"""`tokensvc keys`: the encryption keys that wrap every secret in the database."""

import click

from tokensvc.cli.actions import DRY_RUN, action_options
from tokensvc.cli.output import json_option, write_json
from tokensvc.cli.session import opened_key_services
from tokensvc.core.actions import ActionContext
from tokensvc.vault.reencryption import Progress

_UNREADABLE = "no key of this process unwraps them: restore that key, and run this again."


@click.group("keys")
def keys() -> None:
    """
    Change the encryption keys of stored secrets.

    Without a gap: add the new key last in TOKENSVC_ENCRYPTION_KEYS on every instance, then move it
    to the front on every instance, run `tokensvc keys reencrypt`, and remove the old key.
    """


@keys.command("reencrypt")
@action_options
@json_option
def reencrypt(*, context: ActionContext, as_json: bool) -> None:
    """
    Encrypt every stored secret again with the first encryption key.

    It can run next to traffic, be stopped and be run again. Exit with status 1 if rows remain under
    other keys, and print the fingerprints of these. With --dry-run: if rows would remain.
    """
    progress = Progress()
    done = "would be re-encrypted" if context.dry_run else "re-encrypted"
    with opened_key_services() as services:
        for progress in services.operations.reencryption.run(context):
            click.echo(f"{progress.seen} read, {progress.rewrapped} {done}", err=True)
        remaining = services.operations.reencryption.remaining()
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
        _print_result(progress, remaining, context)
    if progress.unreadable or (remaining and not context.dry_run):
        raise SystemExit(1)


def _print_result(progress: Progress, remaining: dict[str, int], context: ActionContext) -> None:
    if context.dry_run:
        click.echo(f"{DRY_RUN} {progress.rewrapped} rows re-encrypted.")
        if progress.unreadable:
            click.echo(
                f"{progress.unreadable} rows would remain, under one of {', '.join(remaining)}: "
                f"{_UNREADABLE}"
            )
        return
    click.echo(f"{progress.rewrapped} rows re-encrypted.")
    for key, count in remaining.items():
        click.echo(f"{count} rows are still under the key {key}.")
    if progress.unreadable:
        click.echo(_UNREADABLE.capitalize())
    elif remaining:
        click.echo("A process that has that key first added them in the meantime: run this again.")
    else:
        click.echo("No row is under another key: the others can be removed.")
