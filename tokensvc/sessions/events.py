"""The audit events of refreshes."""

from typing import Final

from tokensvc.audit.rules import REFUSED, Action
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Transaction
from tokensvc.sessions.rules import Advance, EndReplayed, Family

_ACTOR: Final = "service:sessions"
"""Actor of what an old token causes: a user or a thief has sent it."""


def record_replacement(tx: Transaction, decision: Advance | EndReplayed, now: float) -> None:
    """Write the event of a rotation, or of the end of a session."""
    user_id, session = decision.family.user_id, f"session {decision.family.id}"
    if isinstance(decision, Advance):
        record(tx, ActionContext(user_id, session), Action.SESSION_REFRESHED, user_id, now=now)
        return
    context = ActionContext(_ACTOR, f"{decision.cause}: {session}")
    record(tx, context, Action.SESSION_REPLAYED, user_id, now=now, outcome=REFUSED)


def record_predecessor(tx: Transaction, family: Family, now: float) -> None:
    """Write that a previous token was used from another network than that of the rotation."""
    context = ActionContext(_ACTOR, f"another network: session {family.id}")
    record(tx, context, Action.SESSION_PREDECESSOR_USED, family.user_id, now=now)
