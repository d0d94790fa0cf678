"""`tokensvc audit`: print the audit trail."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterable

import click

from tokensvc.app.services import Services
from tokensvc.audit.rules import DONE, Action, AuditEvent
from tokensvc.cli.printer import (
    format_time,
    json_option,
    names_below,
    print_item,
    print_note,
    quoted,
    yes_or_no,
)
from tokensvc.cli.session import opened_services
from tokensvc.recovery.export import chained

_POLL_SECONDS = 1.0


@click.command(
    "audit",
    short_help="Print or follow the audit trail.",
    epilog=names_below("Actions", (action.value for action in Action)),
)
@click.option("--actor", help="Client ID, user ID or cli:USER, the system user.")
@click.option(
    "--action",
    metavar="ACTION",
    type=click.Choice([action.value for action in Action]),
    help="One of the actions below.",
)
@click.option("--subject", help="User ID, app, or ID of a client, secret or key.")
@click.option("--outcome", help="Result of the action: ok or refused.")
@click.option("--request-id", help="ID of the request.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--after", metavar="ID", help="Print only events older than this one.")
@click.option("--follow", is_flag=True, help="Wait for further events and print them.")
@json_option
def audit(
    *, limit: int, after: str | None, follow: bool, as_json: bool, **filters: str | None
) -> None:
    """
    Print the audit trail, newest first; with --follow, newest last.

    Texts with unusual characters are in quotes. With --json each event is one line. For older
    events, pass the ID of the last line to --after.

    With --json and without a filter, each line has in `chain` a keyed checksum (MAC) of itself and
    of the line before: `tokensvc after-restore` refuses a file that was changed.
    """
    if follow and after is not None:
        raise click.UsageError("--after prints older events, --follow newer ones: use one of them.")
    wanted = {name: value for name, value in filters.items() if value is not None}
    with opened_services(with_keys=False) as services:
        chain = _chain(services, after) if as_json and not wanted else None

        def write(events: Iterable[AuditEvent]) -> None:
            for event in events:
                value = event if chain is None else chain(event)
                print_item(value, map(_line, [event]), as_json=as_json)

        if not follow:
            events = services.audit.page(after=after, limit=limit + 1, filters=wanted)
            write(events[:limit])
            if len(events) > limit:
                print_note(f"For older events: --after {events[limit - 1].id}")
            return
        with contextlib.suppress(KeyboardInterrupt):
            for events in services.audit.follow(limit, wanted):
                write(events)
                sys.stdout.flush()
                time.sleep(_POLL_SECONDS)


def _chain(services: Services, after: str | None) -> Callable[[AuditEvent], object] | None:
    """Return the chain of an export to replay; one with a filter lacks events, so it has none."""
    if services.key_files.are_temporary:
        print_note("The lines have no chain: SQLite's encryption key file is missing.")
        return None
    return chained(services.vault, after or "")


def _line(event: AuditEvent) -> str:
    """Return an event as one line."""
    outcome = "" if event.outcome == DONE else f"  outcome {quoted(event.outcome)}"
    request = f"  request {quoted(event.request_id)}" if event.request_id is not None else ""
    reason = f"  reason {quoted(event.reason)}" if event.reason is not None else ""
    what = f"{quoted(event.actor)}  {quoted(event.action)}  {quoted(event.subject)}"
    facts = (event.details or {}).items()
    details = "".join(f"  {quoted(name)} {_shown(value)}" for name, value in facts)
    return f"{event.id}  {format_time(event.time)}  {what}{outcome}{request}{details}{reason}"


def _shown(value: str | int | list[str]) -> str:
    """Return a fact as one word."""
    if isinstance(value, bool):
        return yes_or_no(value)
    return ",".join(map(quoted, value)) if isinstance(value, list) else quoted(str(value))
