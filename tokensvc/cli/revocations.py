"""The state of a user or the app, and the result of an action, as they are printed."""

from msgspec import UNSET

from tokensvc.cli.printer import Result, action_result, facts, format_time
from tokensvc.core.actions import ActionContext
from tokensvc.revocations import state as states
from tokensvc.revocations.rules import HoldsUntil
from tokensvc.revocations.service import Revocations
from tokensvc.revocations.state import State, UserState
from tokensvc.stream.delivery.state import NEVER_SENT, ErasureStatus, StreamStatus

_HOLDS_UNTIL = {
    HoldsUntil.NEXT_SIGN_IN: "the next sign-in",
    HoldsUntil.NEXT_TOKEN: "the provider's next token, which it may issue without a sign-in. To "
    "block the user, suspend them or end their session at the provider",
    HoldsUntil.REINSTATEMENT: "the user is reinstated",
    HoldsUntil.NEVER: "never: the user was erased",
}


def result_of_action(
    revocations: Revocations, state: State, context: ActionContext, *, is_undo: bool = False
) -> Result:
    """Return the state after an action, and what the action means."""
    holds_until = revocations.holds_until(state)
    value = states.action_result(state, holds_until, dry_run=context.dry_run, is_undo=is_undo)
    lines = state_lines(state)
    if holds_until is not None:
        subject = "The user is" if isinstance(state, UserState) else "All users are"
        lines.append(f"{subject} refused until {_HOLDS_UNTIL[holds_until]}.")
    return action_result(value, lines)


def state_lines(state: State) -> list[str]:
    """Return the state as lines."""
    pairs = []
    if isinstance(state, UserState):
        suspended = f"since {format_time(state.suspended_at)}" if state.suspended else "no"
        pairs += [("user", state.user_id), ("suspended", suspended)]
        if state.erasure is not None:
            pairs.append(("erasure", _erasure(state.erasure)))
    cut_off = state.tokens_valid_after
    pairs.append(("cut-off", "none" if cut_off is None else format_time(cut_off)))
    if state.revocation is not None:
        revocation = state.revocation
        text = f"{revocation.id} ({revocation.kind}, {format_time(revocation.created_at)})"
        pairs.append(("latest revocation", text))
    if state.reason is not None:
        pairs.append(("reason", state.reason))
    watch = "app show" if not isinstance(state, UserState) else f"users show {state.user_id}"
    return facts([*pairs, ("Stream", _stream(state.stream, watch))])


def _erasure(erasure: ErasureStatus) -> str:
    text = f"{erasure.state}, requested {format_time(erasure.requested_at)}"
    if erasure.done_at is not None:
        text += f", done {format_time(erasure.done_at)}"
    return f"{text}: {erasure.last_error}" if erasure.last_error else text


def _stream(stream: StreamStatus, watch: str) -> str:
    if stream == NEVER_SENT:
        return "nothing to send"
    since = f" since {format_time(stream.updated_at)}" if stream.updated_at is not None else ""
    error = f": {stream.last_error}" if stream.last_error else ""
    reach = [("devices", stream.devices), ("hint", stream.notified)]
    shown = [f", {name} {state}" for name, state in reach if state is not UNSET]
    hint = f" (to watch it: tokensvc {watch})" if stream.state == "pending" else ""
    return f"{stream.state}{since}{error}{''.join(shown)}{hint}"
