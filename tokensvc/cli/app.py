"""`tokensvc app`: revoke all users, and undo it."""

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.output import json_option
from tokensvc.cli.revocations import print_action, print_state
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext
from tokensvc.core.targets import APP


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
