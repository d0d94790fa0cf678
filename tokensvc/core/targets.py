"""The target of an action: one user, or the app with all its users."""

from dataclasses import dataclass


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
