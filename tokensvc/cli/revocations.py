"""Print the state of a user or the app, and the result of an action."""

import click
import msgspec

from tokensvc.cli.actions import DRY_RUN
from tokensvc.cli.output import format_time, printable, write_facts, write_json
from tokensvc.core.actions import ActionContext
from tokensvc.revocations.rules import HoldsUntil
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State, UserActionResult, UserState, action_result
from tokensvc.stream.delivery.state import NEVER_SENT

_HOLDS_UNTIL = {
    HoldsUntil.NEXT_SIGN_IN: "the next sign-in",
    HoldsUntil.NEXT_TOKEN: "the provider's next token, which it may issue without a sign-in. To "
    "block the user, suspend them or end their session at the provider",
    HoldsUntil.REINSTATEMENT: "the user is reinstated",
}


def print_state(state: State, *, as_json: bool) -> None:
    """Print the state."""
    if as_json:
        write_json(msgspec.to_builtins(state))
    else:
        write_facts(_facts(state))


def print_action(
    revocations: Revocations,
    state: State,
    context: ActionContext,
    *,
    as_json: bool,
    is_undo: bool = False,
) -> None:
    """Print the state after an action, and what the action means."""
    holds_until = revocations.holds_until(state)
    result = action_result(state, holds_until, dry_run=context.dry_run, is_undo=is_undo)
    if as_json:
        write_json(msgspec.to_builtins(result))
        return
    if context.dry_run:
        click.echo(DRY_RUN)
    write_facts(_facts(state))
    if holds_until is not None:
        subject = "The user is" if isinstance(result, UserActionResult) else "All users are"
        click.echo(f"{subject} refused until {_HOLDS_UNTIL[holds_until]}.")
    if result.warning:
        click.echo(result.warning, err=True)


def _facts(state: State) -> list[tuple[str, str]]:
    facts = []
    if isinstance(state, UserState):
        suspended = f"since {format_time(state.suspended_at)}" if state.suspended else "no"
        facts += [("user", state.user_id), ("suspended", suspended)]
    cut_off = (
        format_time(state.tokens_valid_after) if state.tokens_valid_after is not None else "none"
    )
    facts.append(("cut-off", cut_off))
    if state.revocation is not None:
        revocation = state.revocation
        text = f"{revocation.id} ({revocation.kind}, {format_time(revocation.created_at)})"
        facts.append(("latest revocation", text))
    if state.reason is not None:
        facts.append(("reason", printable(state.reason)))
    facts.append(("Stream", _stream(state)))
    return facts


def _stream(state: State) -> str:
    stream = state.stream
    if stream == NEVER_SENT:
        return "nothing to send"
    since = f" since {format_time(stream.updated_at)}" if stream.updated_at is not None else ""
    error = f": {printable(stream.last_error)}" if stream.last_error else ""
    return f"{stream.state}{since}{error}"
