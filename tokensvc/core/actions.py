"""What every action has: who requests it and why, and its target."""

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


@dataclass(frozen=True, slots=True)
class Target:
    """
    A user or the app.

    Attributes:
        user_id: ID of the user; `None` for the app.
    """

    user_id: str | None

    @property
    def subject(self) -> str:
        """Subject of the target's audit events: the user ID, or `app`."""
        return "app" if self.user_id is None else self.user_id


APP = Target(None)
