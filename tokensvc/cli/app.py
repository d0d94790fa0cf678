"""`tokensvc app`: sign everyone out, and take it back."""

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.output import json_option
from tokensvc.cli.revocations import print_action, print_state
from tokensvc.cli.session import opened_services
from tokensvc.core.actions import ActionContext


@click.group("app")
def app() -> None:
    """Sign everyone out everywhere, and take it back."""


@app.command("revoke", short_help="Sign everyone out everywhere.")
@action_options
@json_option
def revoke(*, context: ActionContext, as_json: bool) -> None:
    """Sign everyone out everywhere: only sign-ins from now on get tokens."""
    with opened_services(with_keys=False) as services:
        state = services.revocations.revoke(None, context)
        print_action(services.revocations, state, context, as_json=as_json)


@app.command("undo", short_help="Take the latest act against everyone back.")
@click.argument("revocation_id")
@action_options
@json_option
def undo(revocation_id: str, *, context: ActionContext, as_json: bool) -> None:
    """
    Take REVOCATION_ID back, the latest act against everyone, which `show` names.

    What it refused works again until it expires, stolen tokens too. Users who were revoked one by
    one stay so.
    """
    with opened_services(with_keys=False) as services:
        state = services.revocations.undo(None, revocation_id, context)
        print_action(services.revocations, state, context, as_json=as_json, is_undo=True)


@app.command("show")
@json_option
def show(*, as_json: bool) -> None:
    """Tell what stands against everyone, and what Stream knows of it."""
    with opened_services(with_keys=False) as services:
        print_state(services.revocations.state(None), as_json=as_json)
