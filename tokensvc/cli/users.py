"""`tokensvc users`: list, revoke, renew, suspend, reinstate and erase users, undo revocations."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from msgspec.structs import asdict

from tokensvc.app.services import Services
from tokensvc.cli.actions import action_options
from tokensvc.cli.printer import (
    Result,
    action_result,
    format_time,
    members,
    page_options,
    page_result,
    prints_result,
    table,
    yes_or_no,
)
from tokensvc.cli.revocations import result_of_action, state_lines
from tokensvc.cli.session import opened_services
from tokensvc.core import user_ids
from tokensvc.core.actions import APP, ActionContext, Target
from tokensvc.revocations.erasures import ErasedRows
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import UserState


@click.group("users", short_help="List, revoke, renew, suspend, reinstate and erase users.")
def users() -> None:
    """
    List, revoke, renew, suspend, reinstate and erase users, and undo a revocation.

    USER_ID is the ID on Stream: `tokensvc user-id encode` prints it for a provider's subject.
    """


@users.command("list", short_help="List revoked, suspended and erased users.")
@click.option("--suspended/--not-suspended", default=None, help="List only these.")
@page_options
@prints_result
def list_users(*, suspended: bool | None, after: str | None, limit: int) -> Result:
    """
    List users with a revocation, a renewal or a suspension, in the order of their IDs.

    Stream has all users; this service knows of one only after an action.
    """
    with opened_services(with_keys=False) as services:
        found = services.revocations.users(suspended=suspended, after=after, limit=limit + 1)
    head = ("USER", "SUSPENDED", "CUT-OFF", "STREAM", "REASON")
    rows = [_row(user) for user in found[:limit]]
    return page_result(found, limit, table(head, rows, if_empty="No such user."))


@users.command("revoke", short_help="Sign a user out everywhere.")
@click.argument("user_id")
@action_options
@prints_result
def revoke(user_id: str, *, context: ActionContext) -> Result:
    """Sign USER_ID out everywhere: only a new sign-in gets a token."""
    with _revocations(user_id) as revocations:
        return result_of_action(revocations, revocations.revoke(Target(user_id), context), context)


@users.command("renew", short_help="Renew the Stream tokens of a user.")
@click.argument("user_id")
@action_options
@prints_result
def renew(user_id: str, *, context: ActionContext) -> Result:
    """
    Make Stream refuse the tokens that USER_ID has so far.

    Nobody is signed out: the Stream SDKs of signed-in devices get a new token, without the user's
    notice. There is no undo.
    """
    with _revocations(user_id) as revocations:
        return result_of_action(revocations, revocations.renew(user_id, context), context)


@users.command("undo", short_help="Undo the latest revocation of a user.")
@click.argument("user_id")
@click.argument("revocation_id")
@action_options
@prints_result
def undo(user_id: str, revocation_id: str, *, context: ActionContext) -> Result:
    """
    Undo REVOCATION_ID, the latest revocation of USER_ID, which `show` prints.

    Earlier credentials work again until they expire, stolen ones too.
    """
    with _revocations(user_id) as revocations:
        state = revocations.undo(Target(user_id), revocation_id, context)
        return result_of_action(revocations, state, context, is_undo=True)


@users.command("suspend", short_help="Suspend a user.")
@click.argument("user_id")
@action_options
@prints_result
def suspend(user_id: str, *, context: ActionContext) -> Result:
    """Sign USER_ID out everywhere, and refuse all tokens until the user is reinstated."""
    with _revocations(user_id) as revocations:
        return result_of_action(revocations, revocations.suspend(user_id, context), context)


@users.command("reinstate", short_help="End the suspension of a user.")
@click.argument("user_id")
@action_options
@prints_result
def reinstate(user_id: str, *, context: ActionContext) -> Result:
    """End the suspension of USER_ID. The next sign-in gets a token."""
    with _revocations(user_id) as revocations:
        return result_of_action(revocations, revocations.reinstate(user_id, context), context)


@users.command("erase", short_help="Erase a user, here and at Stream.")
@click.argument("user_id")
@action_options
@prints_result
def erase(user_id: str, *, context: ActionContext) -> Result:
    """
    Refuse USER_ID permanently, and delete the user here and at Stream, with all messages.

    Nothing ends or undoes it. --dry-run prints what would be deleted. Stream deletes in the
    background: `show` prints the progress.
    """
    with _services(user_id) as services:
        result = services.erasures.erase(user_id, context)
    rows = members(result.erased, ErasedRows.__struct_fields__)
    modes = ", ".join(f"{name} {mode}" for name, mode in asdict(result.at_stream).items())
    lines = [*state_lines(result), "Deleted here:", *rows, f"Deleted by Stream: {modes}"]
    return action_result(result, lines)


@users.command("show")
@click.argument("user_id")
@prints_result
def show(user_id: str) -> Result:
    """Show the state of USER_ID and of its delivery to Stream."""
    with _revocations(user_id) as revocations:
        state = revocations.state(Target(user_id))
        app_cut_off = revocations.state(APP).tokens_valid_after
    lines = state_lines(state)
    if app_cut_off is not None:
        time = format_time(app_cut_off)
        lines.append(f"A cut-off for all users also applies, {time}: tokensvc app show")
    return Result(state, lines)


def _row(user: UserState) -> tuple[str, ...]:
    cut_off = user.tokens_valid_after
    return (
        user.user_id,
        "erased" if user.erasure is not None else yes_or_no(user.suspended),
        "none" if cut_off is None else format_time(cut_off),
        user.stream.state,
        user.reason or "",
    )


@contextmanager
def _revocations(user_id: str) -> Iterator[Revocations]:
    """Yield the actions for a legal user ID."""
    with _services(user_id) as services:
        yield services.revocations


@contextmanager
def _services(user_id: str) -> Iterator[Services]:
    """Yield the services for a legal user ID, even if the Stream keys are unreadable."""
    with opened_services(with_keys=False) as services:
        user_ids.check(user_id, services.settings.user_ids.alphabet)
        yield services
