"""Settings of built-in accounts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ACCOUNTS = "accounts"
"""Name of the built-in accounts where other users have the name of their issuer."""


class AccountSettings(BaseModel):
    """Users who sign up and sign in here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool | None = Field(
        default=None,
        description="Whether users can have an account here. In development the default is `true` "
        "if no issuer is configured.",
        json_schema_extra={"default": False},
    )
    sign_up: Literal["closed", "invitation", "open"] = Field(
        default="closed",
        description="Who can sign up: no user, users with an invitation, or all.",
    )
    min_password: int = Field(
        default=15, ge=8, le=64, description="Minimum number of characters of a password."
    )
    user_id_prefix: str = Field(
        default="", max_length=64, description="Prefix of the user ID of every account."
    )
    reserved_ids: tuple[str, ...] = Field(
        default=(
            *("admin", "administrator", "bot", "help", "moderator", "official", "operator"),
            *("owner", "root", "security", "staff", "support", "system", "webmaster"),
        ),
        description="User IDs, without the prefix, that no user can choose at a sign-up; `@`, `_` "
        "and `-` in them do not count. `accounts create`, or an invitation that names the user, "
        "can.",
    )
    invitation_ttl: int = Field(
        default=7 * 86400,
        ge=60,
        le=90 * 86400,
        description="Seconds for which an invitation is valid.",
    )
    deletion_erases: bool = Field(
        default=False,
        description="Whether the deletion of an account also erases the user, as `?erase=true` "
        "does: Stream then deletes the user and all messages.",
    )
