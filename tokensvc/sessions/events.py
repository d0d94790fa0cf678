"""The audit events of refreshes."""

from typing import Final

from tokensvc.audit.rules import REFUSED, Action, Details
from tokensvc.audit.store import record
from tokensvc.core.actions import ActionContext
from tokensvc.database.engine import Transaction
from tokensvc.sessions.rules import EndReplayed, Family

_ACTOR: Final = "service:sessions"
"""Actor of what an old token causes: a user or a thief has sent it."""


def record_rotation(tx: Transaction, family: Family, now: float) -> None:
    """Write the event of a rotation."""
    context, action = ActionContext(family.user_id), Action.SESSION_REFRESHED
    record(tx, context, action, family.user_id, now=now, details={"session": family.id})


def record_replay(tx: Transaction, decision: EndReplayed, now: float) -> ActionContext:
    """Write the event of the end of a replayed session, and return its context."""
    context, user_id = ActionContext(_ACTOR), decision.family.user_id
    details: Details = {"session": decision.family.id, "cause": decision.cause}
    action = Action.SESSION_REPLAYED
    record(tx, context, action, user_id, now=now, outcome=REFUSED, details=details)
    return context


def record_predecessor(tx: Transaction, family: Family, now: float) -> None:
    """Write that a previous token was used from another network than that of the rotation."""
    context, action = ActionContext(_ACTOR), Action.SESSION_PREDECESSOR_USED
    record(tx, context, action, family.user_id, now=now, details={"session": family.id})
