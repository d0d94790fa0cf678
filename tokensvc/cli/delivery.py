"""`tokensvc delivery`: list what Stream does not have yet, and retry."""

import click

from tokensvc.cli.actions import reason_option
from tokensvc.cli.printer import Result, format_time, prints_result, table
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.stream.delivery.rules import (
    OPEN_STATES,
    REACH,
    Delivery,
    DeliveryKind,
    DeliveryState,
)

_NAMES: dict[DeliveryKind, str] = {
    "app": "everyone",
    "user": "cut-off",
    "profile": "profile",
    "hint": "hint",
    "devices": "devices",
    "erasure": "erasure",
}


@click.group("delivery")
def delivery() -> None:
    """List what Stream does not have yet, and retry."""


@delivery.command("list", short_help="List deliveries to Stream.")
@click.option("--kind", type=click.Choice(list(_NAMES)), help="List one kind only.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in DeliveryState]),
    help="Repeat the option for several. Default: "
    f"{', '.join(state.value for state in OPEN_STATES)}.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@prints_result
def list_deliveries(kind: DeliveryKind | None, states: tuple[str, ...], limit: int) -> Result:
    """
    List deliveries to Stream, the last changed first.

    pending: Stream has not confirmed it, or a response was lost, so that it is sent again.

    failed: it is retried. The error says what to do.

    absent: Stream does not have the user. The service asks again.

    obsolete: Stream never had the user, and each token from before the cut-off has expired. A hint
    or a removal of devices also if the action was undone, and a hint after three tries.

    applied: Stream has it.
    """
    chosen = [DeliveryState(state) for state in states] or list(OPEN_STATES)
    with opened_services() as services:
        found = services.stream.deliveries.listed(kind=kind, states=chosen, limit=limit)
        is_delivery_on = services.stream.deliveries.is_delivery_on
    reason = "no delivery matches" if kind or states else "Stream is up to date"
    lines = table(
        ("WHAT", "USER", "STATE", "SINCE", "NEXT TRY", "TRIED", "ERROR"),
        [_row(one) for one in found],
        if_empty=f"Nothing to show: {reason}.",
    )
    notes = [] if is_delivery_on else ["stream.delivery is off: nothing is delivered."]
    return Result(found, lines, notes)


@delivery.command("retry")
@click.argument("user_ids", nargs=-1, metavar="[USER_ID]...")
@click.option("--app", is_flag=True, help="Send the cut-off of the app again.")
@reason_option
@prints_result
def retry(user_ids: tuple[str, ...], *, app: bool, context: ActionContext) -> Result:
    """
    Retry all deliveries that wait for another attempt.

    They are sent within 30 seconds, the longest pause of a sender, unless Stream has asked for a
    longer pause.

    With user IDs or --app, send the states of these users or of the app again, also those that
    Stream has. Use it after a change in Stream's dashboard.
    """
    with opened_services() as services:
        if user_ids or app:
            number = len(services.stream.deliveries.resend(user_ids, context, app=app))
        else:
            number = services.stream.deliveries.retry(context)
    return Result({"due": number}, [f"Deliveries that are due now: {number}"])


def _row(row: Delivery) -> tuple[str, ...]:
    waits_for_cut_off = row.kind in REACH and row.state is DeliveryState.ABSENT
    is_tried = row.state in OPEN_STATES and not waits_for_cut_off
    return (
        _NAMES[row.kind],
        row.subject,
        row.state,
        format_time(row.updated_at),
        format_time(row.due_at) if is_tried else "",
        str(row.attempts),
        row.last_error or "",
    )
