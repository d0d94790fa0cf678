"""The audit events of refreshes."""

from typing import Final

from tokensvc.audit.rules import REFUSED, Action
from tokensvc.audit.store import new_row, record
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Transaction
from tokensvc.sessions.rules import Advance, EndReplayed, Family

_ACTOR: Final = "service:sessions"
"""Actor of what an old token causes: a user or a thief has sent it."""


def event_of(
    decision: Advance | EndReplayed, now: float, *, audits_refreshes: bool
) -> dict[str, object] | None:
    """Return the row of the event of a decision; `None` if it has none."""
    family = decision.family
    if isinstance(decision, Advance):
        if not audits_refreshes:
            return None
        context = ActionContext(family.user_id, f"session {family.id}")
        return new_row(context, Action.SESSION_REFRESHED, family.user_id, now=now)
    context = ActionContext(_ACTOR, f"{decision.cause}: session {family.id}")
    return new_row(context, Action.SESSION_REPLAYED, family.user_id, now=now, outcome=REFUSED)


def record_predecessor(tx: Transaction, family: Family, now: float) -> None:
    """Write that a previous token was used from another network than that of the rotation."""
    context = ActionContext(_ACTOR, f"another network: session {family.id}")
    record(tx, context, Action.SESSION_PREDECESSOR_USED, family.user_id, now=now)
