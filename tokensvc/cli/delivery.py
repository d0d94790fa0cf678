"""`tokensvc delivery`: what Stream has not been told yet, and trying again."""

from dataclasses import asdict

import click

from tokensvc.cli.actions import operator, reason_option
from tokensvc.cli.output import at, json_option, printable, write_json, write_table
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.delivery.rules import Delivery, DeliveryKind, DeliveryState

_OPEN = (DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.ABSENT)
_KINDS: tuple[DeliveryKind, ...] = ("app", "user", "profile")


@click.group("delivery")
def delivery() -> None:
    """See what Stream has not been told yet, and try again."""


@delivery.command("list", short_help="List what is to be brought over to Stream.")
@click.option("--kind", type=click.Choice(_KINDS), help="Cut-offs of everyone, of users; profiles.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in DeliveryState]),
    help="Repeat it for several. By default what is not brought over: "
    f"{', '.join(state.value for state in _OPEN)}.",
)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@json_option
def list_deliveries(
    kind: DeliveryKind | None, states: tuple[str, ...], limit: int, *, as_json: bool
) -> None:
    """
    List what is to be brought over to Stream, those that changed last first.

    pending: on its way, or to be sent once more because an answer was lost. failed: tried again at
    times; the error says what to do. absent: Stream does not have the user, and is asked again.
    moot: the user never came, and every token from before the cut-off has expired.
    """
    chosen = [DeliveryState(state) for state in states] or list(_OPEN)
    with opened_services() as services:
        found = services.deliveries.listed(kind=kind, states=chosen, limit=limit)
        delivers = services.deliveries.delivers
    if as_json:
        write_json([asdict(row) for row in found])
        return
    if not delivers:
        click.echo("stream.delivery is off: nothing is brought over.", err=True)
    if not found:
        click.echo("Nothing to show: Stream holds what it should.")
        return
    write_table(
        ("WHAT", "USER", "STATE", "SINCE", "NEXT TRY", "TRIED", "ERROR"),
        [_line(row) for row in found],
    )


@delivery.command("retry")
@click.argument("user_ids", nargs=-1, metavar="[USER_ID]...")
@click.option("--app", is_flag=True, help="Send the cut-off of everyone once more.")
@reason_option
@json_option
def retry(user_ids: tuple[str, ...], *, app: bool, reason: str | None, as_json: bool) -> None:
    """
    Make due now whatever has failed or waits for another attempt.

    It is tried within half a minute, the longest pause of a sender that Stream has not answered;
    what Stream itself has asked to wait for holds.

    With user ids or --app, send the states of these once more, even if Stream is known to hold
    them: for when somebody has changed them in Stream's dashboard.
    """
    context = ActionContext(operator(), reason)
    with opened_services() as services:
        if user_ids or app:
            number = len(services.deliveries.resend(user_ids, context, app=app))
        else:
            number = services.deliveries.retry(context)
    if as_json:
        write_json({"due": number})
    else:
        click.echo(f"{number} due now.")


def _line(row: Delivery) -> tuple[str, ...]:
    is_open = row.state in _OPEN
    return (
        "everyone" if row.kind == "app" else "cut-off" if row.kind == "user" else "profile",
        row.subject,
        row.state,
        at(row.updated_at),
        at(row.due_at) if is_open else "",
        str(row.attempts),
        printable(row.last_error or ""),
    )
