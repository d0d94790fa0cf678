"""How the acts of revocation, and what stands, are told to an operator."""

import click
import msgspec

from tokensvc.cli.output import at, printable, write_facts, write_json
from tokensvc.core.actions import ActionContext
from tokensvc.revocations.rules import HoldsUntil
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State, UserActionResult, UserState, action_result

_HOLDS_UNTIL = {
    HoldsUntil.NEXT_SIGN_IN: "the next sign-in",
    HoldsUntil.NEXT_TOKEN: "the provider's next token, which it may give without a sign-in: to "
    "keep the user out, suspend them, or end their session at the provider",
    HoldsUntil.REINSTATEMENT: "the user is reinstated",
}


def print_state(state: State, *, as_json: bool) -> None:
    """Write what stands."""
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
    """Write what an act has made of what stands, or would."""
    holds_until = revocations.holds_until(state)
    act = action_result(state, holds_until, dry_run=context.dry_run, is_undo=is_undo)
    if as_json:
        write_json(msgspec.to_builtins(act))
        return
    if context.dry_run:
        click.echo("Nothing was done. It would be:")
    write_facts(_facts(state))
    if holds_until is not None:
        whom = "Refused" if isinstance(act, UserActionResult) else "Everyone is refused"
        click.echo(f"{whom} until {_HOLDS_UNTIL[holds_until]}.")
    if act.warning:
        click.echo(act.warning, err=True)


def _facts(state: State) -> list[tuple[str, str]]:
    facts = []
    if isinstance(state, UserState):
        suspended = f"since {at(state.suspended_at)}" if state.suspended else "no"
        facts += [("user", state.user_id), ("suspended", suspended)]
    cut_off = at(state.tokens_valid_after) if state.tokens_valid_after is not None else "none"
    facts.append(("cut-off", cut_off))
    if state.revocation is not None:
        made = f"{state.revocation.id} ({state.revocation.kind}, {at(state.revocation.created_at)})"
        facts.append(("latest act", made))
    if state.reason is not None:
        facts.append(("reason", printable(state.reason)))
    facts.append(("Stream", _stream(state)))
    return facts


def _stream(state: State) -> str:
    stream = state.stream
    since = f" since {at(stream.updated_at)}" if stream.updated_at is not None else ""
    error = f": {printable(stream.last_error)}" if stream.last_error else ""
    return f"{stream.state}{since}{error}"
