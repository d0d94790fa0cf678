"""The audit events of refreshes."""

from typing import Final

from tokensvc.audit.rules import REFUSED, Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Transaction
from tokensvc.sessions.rules import Advance, EndReplayed, Family

_ACTOR: Final = "service:sessions"
"""Actor of what an old token causes: a user or a thief has sent it."""


def record_replacement(tx: Transaction, decision: Advance | EndReplayed, now: float) -> None:
    """Write the event of a rotation, or of the end of a session."""
    user_id = decision.family.user_id
    details: Details = {"session": decision.family.id}
    if isinstance(decision, Advance):
        context, action = ActionContext(user_id), Action.SESSION_REFRESHED
        record(tx, context, action, user_id, now=now, details=details)
        return
    details["cause"] = decision.cause
    context, action = ActionContext(_ACTOR), Action.SESSION_REPLAYED
    record(tx, context, action, user_id, now=now, outcome=REFUSED, details=details)


def record_predecessor(tx: Transaction, family: Family, now: float) -> None:
    """Write that a previous token was used from another network than that of the rotation."""
    context, action = ActionContext(_ACTOR), Action.SESSION_PREDECESSOR_USED
    record(tx, context, action, family.user_id, now=now, details={"session": family.id})
