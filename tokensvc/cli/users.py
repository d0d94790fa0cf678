"""`tokensvc users`: sign a user out everywhere, suspend them, and take either back."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from tokensvc.cli.actions import action_options
from tokensvc.cli.output import at, json_option
from tokensvc.cli.revocations import print_action, print_state
from tokensvc.cli.session import opened_services
from tokensvc.core import user_ids
from tokensvc.core.actions import ActionContext
from tokensvc.revocations.service import Revocations


@click.group("users", short_help="Revoke and suspend users, and take it back.")
def users() -> None:
    """
    Sign users out everywhere, suspend them, and take either back.

    USER_ID is the id on Stream: `tokensvc user-id encode` gives it for a provider's subject.
    """


@users.command("revoke", short_help="Sign a user out everywhere.")
@click.argument("user_id")
@action_options
@json_option
def revoke(user_id: str, *, context: ActionContext, as_json: bool) -> None:
    """Sign USER_ID out everywhere: only a sign-in from now on gets a token."""
    with _revocations(user_id) as revocations:
        print_action(revocations, revocations.revoke(user_id, context), context, as_json=as_json)


@users.command("undo", short_help="Take the latest act against a user back.")
@click.argument("user_id")
@click.argument("revocation_id")
@action_options
@json_option
def undo(user_id: str, revocation_id: str, *, context: ActionContext, as_json: bool) -> None:
    """
    Take REVOCATION_ID back, the latest act against USER_ID, which `show` names.

    What it refused works again until it expires, stolen tokens too.
    """
    with _revocations(user_id) as revocations:
        state = revocations.undo(user_id, revocation_id, context)
        print_action(revocations, state, context, as_json=as_json, is_undo=True)


@users.command("suspend", short_help="Let nobody mint for a user.")
@click.argument("user_id")
@action_options
@json_option
def suspend(user_id: str, *, context: ActionContext, as_json: bool) -> None:
    """Sign USER_ID out everywhere, and give them no token until they are reinstated."""
    with _revocations(user_id) as revocations:
        print_action(revocations, revocations.suspend(user_id, context), context, as_json=as_json)


@users.command("reinstate", short_help="End the suspension of a user.")
@click.argument("user_id")
@action_options
@json_option
def reinstate(user_id: str, *, context: ActionContext, as_json: bool) -> None:
    """End the suspension of USER_ID, who gets a token with the next sign-in."""
    with _revocations(user_id) as revocations:
        print_action(revocations, revocations.reinstate(user_id, context), context, as_json=as_json)


@users.command("show")
@click.argument("user_id")
@json_option
def show(user_id: str, *, as_json: bool) -> None:
    """Tell what stands against USER_ID, and what Stream knows of it."""
    with _revocations(user_id) as revocations:
        print_state(revocations.state(user_id), as_json=as_json)
        everyone = revocations.state(None).tokens_valid_after
    if everyone is not None and not as_json:
        click.echo(f"Beside it everyone's cut-off stands, {at(everyone)}: tokensvc app show")


@contextmanager
def _revocations(user_id: str) -> Iterator[Revocations]:
    """Give the acts for a legal user id; also where the Stream keys are out of order."""
    with opened_services(with_keys=False) as services:
        user_ids.check(user_id, services.settings.user_ids.alphabet)
        yield services.revocations
