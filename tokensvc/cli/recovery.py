"""`tokensvc backup`, `restore` and `after-restore`."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from tokensvc.app.key_files import SECRETS
from tokensvc.app.start_checks import check_database, check_files
from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import (
    DRY_RUN,
    Result,
    facts,
    format_time,
    print_progress,
    prints_result,
    with_progress,
)
from tokensvc.cli.session import command_settings, file_error, opened_services
from tokensvc.config.loader import Settings
from tokensvc.config.urls import split_url
from tokensvc.core.actions import ActionContext
from tokensvc.core.clock import system_clock
from tokensvc.database.hosts import for_primary
from tokensvc.database.sqlite import hold_process_lock
from tokensvc.recovery import backup as backups
from tokensvc.recovery import manifest, postgresql
from tokensvc.recovery.export import Export, parse
from tokensvc.recovery.manifest import Manifest
from tokensvc.recovery.service import Choices, RecoveryResult, recover
from tokensvc.vault.vault import Vault

_file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))


@click.command("backup", short_help="Back up the database.")
@_file
@prints_result
def backup(file: Path) -> Result:
    """
    Back up the database to the new FILE, and write FILE.manifest.json next to it.

    The service may run. An SQLite database is copied. For PostgreSQL the command prints a line with
    `pg_dump`: run that line, then run this command again to check the dump.

    The backup does not contain the encryption keys: keep them in another place.
    """
    with opened_services(with_keys=False) as services:
        settings = services.settings
        described = backups.describe(
            services.database,
            services.database_clock,
            SECRETS,
            environment=settings.environment,
        )
    if settings.sqlite_path is not None:
        return _complete(backups.back_up_sqlite(described, settings.sqlite_path, file), file)
    if file.exists():
        return _complete(backups.complete_postgresql(file), file)
    manifest.write(described, file)
    line = postgresql.dump_line(file, _url_without_password(settings))
    text = f"Run this, then run `tokensvc backup {file}` again:"
    return Result({"command": line}, [text, line])


@click.command("restore", short_help="Restore a backup.")
@_file
@prints_result
def restore(file: Path) -> Result:
    """
    Restore the backup FILE. Its FILE.manifest.json must be next to it.

    Stop the service first. The previous database is kept under another name. For PostgreSQL the
    command checks FILE and prints a line with `pg_restore`. Then run `tokensvc after-restore`.
    """
    settings = command_settings()
    check_files(settings)
    path = settings.sqlite_path
    if path is None:
        described = manifest.read(file)
        manifest.check(described, file, database="postgresql", environment=settings.environment)
        line = postgresql.restore_line(file, _url_without_password(settings))
        text = "The backup is complete. Stop the service, create an empty database, run this:"
        then = "Then run `tokensvc migrate` and `tokensvc after-restore`."
        return Result({"command": line}, [text, line, then])
    print_progress(f"Checking and copying {file}", is_last=True)
    with _alone(settings):
        aside = backups.restore_sqlite(
            file, path, environment=settings.environment, now=system_clock()
        )
    previous = [] if aside is None else [f"The previous database is now {aside}."]
    then = "Now run `tokensvc after-restore`: without it, the service does not start."
    value = {"restored": str(path), "previous": None if aside is None else str(aside)}
    return Result(value, [*previous, f"Restored {path}.", then])


@click.command("after-restore", short_help="Make a restored database safe to use.")
@click.option(
    "--replay",
    "replayed",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="AUDIT.jsonl",
    help="Export of the audit trail, from `tokensvc audit --json`.",
)
@click.option(
    "--unverified", is_flag=True, help="Replay an export although its chain is missing or wrong."
)
@click.option(
    "--complete", is_flag=True, help="Confirm that the export has every event, up to the last one."
)
@click.option("--keep-clients", is_flag=True, help="Without --replay: keep all client secrets.")
@click.option("--keep-sign-up", is_flag=True, help="Without --replay: keep sign-up open.")
@click.option(
    "--copied",
    is_flag=True,
    help="Accept a database with the marker of the live one: it is a copy.",
)
@action_options
@prints_result
def after_restore(
    *,
    replayed: Path | None,
    unverified: bool,
    complete: bool,
    keep_clients: bool,
    keep_sign_up: bool,
    copied: bool,
    context: ActionContext,
) -> Result:
    """
    Refuse again what was refused after the backup, here and at Stream. Then the service can start.

    With --replay, the actions of the export are applied again. Its chain shows that no line was
    added, changed, removed or moved. It does not show that the last lines are there: without
    --complete, all users must sign in again.

    Without --replay, all users must sign in again, every client secret is disabled, and open
    sign-up is closed.

    A database that was not restored is refused. If `tokensvc backup` did not make your copy, the
    copy looks like such a database: add --copied. Add it also to run this command again, with
    another export.
    """
    if replayed is None and (complete or unverified):
        raise click.UsageError("--complete and --unverified need --replay.")
    choices = Choices(complete, keep_clients, keep_sign_up, copied)
    settings = command_settings()
    check_database(settings)  # before the lock, which would create its file
    with _alone(settings), opened_services(with_keys=False) as services:
        vault = None if unverified else services.vault
        export = _read_export(replayed, vault) if replayed is not None else None
        if export is not None:
            print_progress(f"{len(export.events)} events to replay", is_last=True)
        result = recover(
            services.database,
            services.database_clock,
            services.revocations,
            services.erasures,
            export=export,
            choices=choices,
            context=context,
        )
    return Result(result, _lines(result))


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Lock the SQLite file as a running service does. PostgreSQL has none."""
    with ExitStack() as stack:
        if settings.sqlite_path is not None:
            stack.callback(hold_process_lock(settings.sqlite_path))
        yield


def _read_export(file: Path, vault: Vault | None) -> Export:
    try:
        with file.open("rb") as lines:
            return parse(with_progress(lines, "events", are_printed=False), vault)
    except OSError as error:
        raise file_error("read", file, error) from error


def _url_without_password(settings: Settings) -> str:
    parts = split_url(settings.database_url)
    host = parts.netloc.rpartition("@")[2]
    user = f"{parts.username}@" if parts.username else ""
    url = parts._replace(scheme="postgresql", netloc=f"{user}{host}").geturl()
    return for_primary(url)


def _complete(backup: Manifest, file: Path) -> Result:
    pairs = [
        ("manifest", str(manifest.path_of(file))),
        ("schema", backup.schema),
        ("last audit event", backup.last_event or "none"),
        ("encryption keys", ", ".join(backup.encryption_keys) or "none"),
    ]
    return Result(backup, [f"The backup {file} is complete.", *facts(pairs)])


def _lines(result: RecoveryResult) -> Iterator[str]:
    yield DRY_RUN if result.dry_run else "The database is ready: start the service."
    yield from facts(_facts(result))
    for action, subject in result.lost:
        yield f"Lost, create it again: {subject} ({action})"
    if result.sign_up_closed:
        yield "To open sign-up again: `tokensvc accounts reopen-sign-up`."
    if not result.has_active_stream_key:
        yield (
            "No Stream key is active: add the current one with `tokensvc stream-keys add`, and "
            "activate it."
        )


def _facts(result: RecoveryResult) -> Iterator[tuple[str, str]]:
    for action, count in result.applied.items():
        yield f"replayed {action}", str(count)
    if result.reinstated:
        yield "reinstated", ", ".join(result.reinstated)
    if result.verified is False:
        yield "export", "not verified: anyone who could write to it may have added lines"
    if result.last_event_at is not None:
        yield "last event of the export", format_time(result.last_event_at)
    if result.cut_off is not None:
        yield "all users must sign in again", f"because {result.cut_off_because}"
    yield "client secrets disabled", str(result.secrets_disabled)
    yield "open sign-up", "closed" if result.sign_up_closed else "as configured"
