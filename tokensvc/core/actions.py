"""The context of an action: who requests it, why, and whether it is a dry run."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ActionContext:
    """
    The actor of an action and their wishes.

    Attributes:
        actor: Name of the actor in audit events.
        reason: Reason in the actor's words.
        dry_run: Whether to return the result without changing anything.
    """

    actor: str
    reason: str | None = None
    dry_run: bool = False
