"""`tokensvc app`: revoke all users, undo it, and lower cut-offs in the future."""

import click

from tokensvc.app.services import Services
from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import DRY_RUN, Result, facts, print_note, prints_result, with_progress
from tokensvc.cli.revocations import result_of_action, state_lines
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import APP, ActionContext
from tokensvc.core.errors import StartupError
from tokensvc.revocations.clock_faults import TOLERANCE
from tokensvc.stream.api import check_key
from tokensvc.stream.responses import StreamUnavailableError


@click.group("app")
def app() -> None:
    """Sign all users out everywhere, and undo it."""


@app.command("revoke", short_help="Sign all users out everywhere.")
@action_options
@prints_result
def revoke(*, context: ActionContext) -> Result:
    """Sign all users out everywhere: only new sign-ins get tokens."""
    with opened_services(with_keys=False) as services:
        state = services.revocations.revoke(APP, context)
        return result_of_action(services.revocations, state, context)


@app.command("undo", short_help="Undo the latest revocation of all users.")
@click.argument("revocation_id")
@action_options
@prints_result
def undo(revocation_id: str, *, context: ActionContext) -> Result:
    """
    Undo REVOCATION_ID, the latest revocation of all users, which `show` prints.

    Earlier credentials work again until they expire, stolen ones too. Revocations of single
    users stay in effect.
    """
    with opened_services(with_keys=False) as services:
        state = services.revocations.undo(APP, revocation_id, context)
        return result_of_action(services.revocations, state, context, is_undo=True)


@app.command("show")
@prints_result
def show() -> Result:
    """Show the state of the app and of its delivery to Stream."""
    with opened_services(with_keys=False) as services:
        state = services.revocations.state(APP)
    return Result(state, state_lines(state))


@app.command("lower-floor", short_help="Lower cut-offs that a wrong clock set in the future.")
@action_options
@prints_result
def lower_floor(*, context: ActionContext) -> Result:
    """
    Lower the cut-offs of the app and of each user to now, if they are over 60 s in the future.

    A cut-off is the time before which sign-ins are refused. The floor is the highest cut-off
    or renewal of a user or the app, which no undo lowers. One in the future comes from a clock that
    was ahead: until its time, its users get no token. Correct the clock first. All sign-ins until
    now stay refused, and Stream gets the new cut-offs. Tokens that were minted while the clock was
    ahead become valid when their time comes.
    """
    with opened_services(with_keys=False) as services:
        _check_clock(services)
        faults = services.operations.clock_faults
        targets = faults.find()
        for target in with_progress(targets, "cut-offs", are_printed=False):
            faults.lower(target, context)
        if targets and not context.dry_run:
            faults.restart_deliveries()
    users = [target.user_id for target in targets if target.user_id is not None]
    dry_run = {"dry_run": True} if context.dry_run else {}
    pairs = [
        ("cut-off for all users", "lowered" if APP in targets else "not in the future"),
        ("users lowered", ", ".join(users) or "none"),
    ]
    return Result(
        {"app": APP in targets, "users": users, **dry_run},
        [*([DRY_RUN] if context.dry_run else []), *facts(pairs)],
    )


def _check_clock(services: Services) -> None:
    """
    Compare the database's clock with Stream's.

    With a clock that is behind, each cut-off looks like one in the future, and lowering it would
    make revoked credentials valid again.

    Raises:
        StartupError: The clocks differ.
    """
    ahead = _seconds_ahead_of_stream(services)
    if isinstance(ahead, str):
        print_note(
            f"The clock was not compared with Stream's ({ahead}). Make sure that it is right."
        )
    elif abs(ahead) > TOLERANCE:
        direction = "ahead of" if ahead > 0 else "behind"
        raise StartupError(
            f"The clock is {abs(ahead):.0f} s {direction} Stream's. Correct it first: cut-offs "
            "that only seem to be in the future must stay."
        )


def _seconds_ahead_of_stream(services: Services) -> float | str:
    """Return by how much the database's clock is ahead of Stream's, or why that is not known."""
    key = services.stream.keys.current_ring().active
    if not services.stream.deliveries.is_delivery_on:
        return "stream.delivery is off"
    if key is None:
        return "no Stream key is active"
    try:
        check = check_key(services.settings.stream.base_url, key, services.database_clock)
    except StreamUnavailableError as error:
        return str(error)
    return "the response has no time" if check.clock_ahead is None else check.clock_ahead
