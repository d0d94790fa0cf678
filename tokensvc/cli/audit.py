"""`tokensvc audit`: who did what to whom, when and why."""

import contextlib
import json
import sys
import time
from collections.abc import Iterable

import click
import msgspec

from tokensvc.audit.rules import DONE, Action, AuditEvent
from tokensvc.cli.output import at, json_option, printable
from tokensvc.cli.session import opened_services

_POLL = 1.0
"""Seconds between two looks for new events."""


@click.command("audit", short_help="Show the audit trail, or follow it.")
@click.option("--actor", help="Whose doing: a client's id, a user's, cli:LOGIN.")
@click.option("--action", type=click.Choice([action.value for action in Action]))
@click.option("--subject", help="Whom or what it was about: a user id, app, an id of a key.")
@click.option("--outcome", help="What came of it: ok, in this version.")
@click.option("--request-id", help="Of the request that asked for it.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000))
@click.option("--after", metavar="ID", help="Only events that are older than this one.")
@click.option("--follow", is_flag=True, help="Then wait for further events and show them.")
@json_option
def audit(
    *, limit: int, after: str | None, follow: bool, as_json: bool, **wanted: str | None
) -> None:
    """
    Show the audit trail, newest first; with --follow, newest last.

    With --json an event is a line. Older ones follow with --after and the id of the last line.
    """
    if follow and after is not None:
        raise click.UsageError("--after looks back, --follow ahead: choose one.")
    filters = {name: value for name, value in wanted.items() if value is not None}
    with opened_services(with_keys=False) as services:
        if not follow:
            events = services.audit.page(after=after, limit=limit + 1, filters=filters)
            _write(events[:limit], as_json=as_json)
            if len(events) > limit:
                click.echo(f"Older ones: --after {events[limit - 1].id}", err=True)
            return
        with contextlib.suppress(KeyboardInterrupt):
            for events in services.audit.follow(limit, filters):
                _write(events, as_json=as_json)
                sys.stdout.flush()
                time.sleep(_POLL)


def _write(events: Iterable[AuditEvent], *, as_json: bool) -> None:
    for event in events:
        click.echo(json.dumps(msgspec.to_builtins(event)) if as_json else _line(event))


def _line(event: AuditEvent) -> str:
    """Write an event for people; what a stranger may have written stands at the end."""
    outcome = "" if event.outcome == DONE else f" ({event.outcome})"
    request = f"  request {event.request_id}" if event.request_id is not None else ""
    reason = f"  {event.reason}" if event.reason is not None else ""
    audit_reason = f"{event.actor}  {event.action}  {event.subject}{outcome}{request}{reason}"
    return f"{event.id}  {at(event.time)}  {printable(audit_reason)}"
