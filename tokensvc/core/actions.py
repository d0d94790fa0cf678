"""What every act that changes the service is given: who wants it, why, and whether in earnest."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActionContext:
    """
    Who wants an act, and how.

    Attributes:
        actor: As the audit trail names them.
        reason: In their words.
        dry_run: Only say what would come of it.
    """

    actor: str
    reason: str | None = None
    dry_run: bool = False
