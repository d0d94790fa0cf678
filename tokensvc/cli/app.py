"""`tokensvc app`: revoke all users, undo it, and lower cut-offs in the future."""

import sys

import click

from tokensvc.app.services import Services
from tokensvc.cli.actions import DRY_RUN, action_options
from tokensvc.cli.output import json_option, write_json
from tokensvc.cli.revocations import print_action, print_state
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.core.errors import StartupError
from tokensvc.core.targets import APP
from tokensvc.revocations.clock_faults import TOLERANCE
from tokensvc.stream.api import check_key
from tokensvc.stream.responses import StreamUnavailableError


@click.group("app")
def app() -> None:
    """Sign all users out everywhere, and undo it."""


@app.command("revoke", short_help="Sign all users out everywhere.")
@action_options
@json_option
def revoke(*, context: ActionContext, as_json: bool) -> None:
    """Sign all users out everywhere: only new sign-ins get tokens."""
    with opened_services(with_keys=False) as services:
        state = services.revocations.revoke(APP, context)
        print_action(services.revocations, state, context, as_json=as_json)


@app.command("undo", short_help="Undo the latest revocation of all users.")
@click.argument("revocation_id")
@action_options
@json_option
def undo(revocation_id: str, *, context: ActionContext, as_json: bool) -> None:
    """
    Undo REVOCATION_ID, the latest revocation of all users, which `show` prints.

    Earlier credentials work again until they expire, stolen tokens too. Revocations of single
    users stay in effect.
    """
    with opened_services(with_keys=False) as services:
        state = services.revocations.undo(APP, revocation_id, context)
        print_action(services.revocations, state, context, as_json=as_json, is_undo=True)


@app.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """Show the state of the app and of its delivery to Stream."""
    with opened_services(with_keys=False) as services:
        print_state(services.revocations.state(APP), as_json=as_json)


@app.command("lower-floor", short_help="Lower cut-offs that a wrong clock set in the future.")
@action_options
@json_option
def lower_floor(*, context: ActionContext, as_json: bool) -> None:
    """
    Lower all cut-offs that are more than 60 s in the future to now: the app's and each user's.

    A clock that was ahead sets them, and until that time their users get no token. Correct
    the clock first. All sign-ins until now stay refused, and Stream gets the new cut-offs. Tokens
    that were minted while the clock was ahead become valid when their time comes.
    """
    with opened_services(with_keys=False) as services:
        _check_clock(services)
        faults = services.operations.clock_faults
        targets = faults.find()
        with click.progressbar(targets, file=sys.stderr) as shown:
            for target in shown:
                faults.lower(target, context)
        if targets and not context.dry_run:
            faults.restart_deliveries()
    users = [target.user_id for target in targets if target.user_id is not None]
    if as_json:
        dry_run = {"dry_run": True} if context.dry_run else {}
        write_json({"app": APP in targets, "users": users, **dry_run})
        return
    if context.dry_run:
        click.echo(DRY_RUN)
    click.echo(f"  cut-off for all users  {'lowered' if APP in targets else 'not in the future'}")
    click.echo(f"  users lowered          {', '.join(users) or 'none'}")


def _check_clock(services: Services) -> None:
    """
    Compare the database's clock with Stream's.

    With a clock that is behind, each cut-off looks like one in the future, and lowering it would
    make revoked credentials valid again.

    Raises:
        StartupError: The clocks differ.
    """
    key, ahead, reason = services.stream.keys.current_ring().active, None, "no Stream key is active"
    if not services.stream.deliveries.delivers:
        reason = "stream.delivery is off"
    elif key is not None:
        base_url = services.settings.stream.base_url
        try:
            checked = check_key(base_url, key, services.database_clock)
            ahead, reason = checked.clock_ahead, "the response has no time"
        except StreamUnavailableError as error:
            reason = str(error)
    if ahead is None:
        text = f"The clock was not compared with Stream's ({reason}). Make sure that it is right."
        click.echo(text, err=True)
    elif abs(ahead) > TOLERANCE:
        direction = "ahead of" if ahead > 0 else "behind"
        raise StartupError(
            f"The clock is {abs(ahead):.0f} s {direction} Stream's. Correct it first: cut-offs "
            "that only seem to be in the future must stay."
        )
