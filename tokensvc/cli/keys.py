"""`tokensvc keys`: the keys that encrypt every secret in the database."""

from collections.abc import Iterator

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import DRY_RUN, Result, print_progress, prints_result
from tokensvc.cli.session import opened_key_services
from tokensvc.core.actions import ActionContext
from tokensvc.vault.reencryption import Progress

_UNREADABLE = "no key of this process decrypts them: restore that key, and run this again."


@click.group("keys")
def keys() -> None:
    """
    Change the encryption keys of stored secrets.

    To change them without an interruption: add the new key at the end of TOKENSVC_ENCRYPTION_KEYS
    on every instance, then move it to the front on every instance, run `tokensvc keys reencrypt`,
    and remove the old key.
    """


@keys.command("reencrypt")
@action_options
@prints_result
def reencrypt(*, context: ActionContext) -> Result:
    """
    Encrypt every stored secret again with the first encryption key.

    The service may run. You can stop the command and run it again. Exit with status 1 if rows
    remain under other keys, and print the fingerprints of these keys. With --dry-run, exit with
    status 1 if rows would remain.
    """
    progress = Progress()
    done = "would be re-encrypted" if context.dry_run else "re-encrypted"
    with opened_key_services() as services:
        for progress in services.operations.reencryption.run(context):
            print_progress(f"{progress.seen} rows read, {progress.reencrypted} {done}")
        print_progress(f"{progress.seen} rows read, {progress.reencrypted} {done}", is_last=True)
        remaining = services.operations.reencryption.remaining()
    value = {
        "rewrapped": progress.reencrypted,
        "unreadable": progress.unreadable,
        "remaining": remaining,
        "dry_run": context.dry_run,
    }
    lines = _dry_run_lines if context.dry_run else _lines
    failed = bool(progress.unreadable or (remaining and not context.dry_run))
    return Result(value, lines(progress, remaining), failed=failed)


def _dry_run_lines(progress: Progress, remaining: dict[str, int]) -> Iterator[str]:
    yield f"{DRY_RUN} {progress.reencrypted} rows re-encrypted."
    if progress.unreadable:
        keys = ", ".join(remaining)
        yield f"{progress.unreadable} rows would remain, under one of {keys}: {_UNREADABLE}"


def _lines(progress: Progress, remaining: dict[str, int]) -> Iterator[str]:
    yield f"{progress.reencrypted} rows re-encrypted."
    for key, count in remaining.items():
        yield f"{count} rows are still under the key {key}."
    if progress.unreadable:
        yield _UNREADABLE.capitalize()
    elif remaining:
        yield "A process whose first key is that one added them in the meantime: run this again."
    else:
        yield "No row is under another key: the other keys can be removed."
