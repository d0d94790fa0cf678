"""Settings of sessions."""

from pydantic import BaseModel, ConfigDict, Field


class SessionSettings(BaseModel):
    """Lifetimes of sessions, of their tokens and of the keys that sign them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    access_ttl: int = Field(
        default=600, ge=10, le=3600, description="Seconds for which an access token is valid."
    )
    reuse_grace: int = Field(
        default=30,
        ge=1,
        le=300,
        description="Seconds after a rotation in which the previous refresh token is accepted too; "
        "a response lost for longer ends the session. 300 suits mobile apps.",
    )
    absolute_ttl: int = Field(
        default=90 * 86400,
        ge=60,
        le=366 * 86400,
        description="Seconds after its sign-in when a session ends.",
    )
    idle_ttl: int = Field(
        default=30 * 86400,
        ge=60,
        le=366 * 86400,
        description="Seconds without a refresh after which a session ends.",
    )
    end_renews: bool = Field(
        default=False,
        description="Whether the end of a session by its own client renews the user's Stream "
        "tokens, as `?renew=true` does: Stream then refuses those of the device too.",
    )
    key_rotation: int = Field(
        default=90 * 86400,
        ge=3600,
        le=366 * 86400,
        description="Seconds after which a new key signs access tokens.",
    )
    jwks_max_age: int = Field(
        default=300,
        ge=1,
        le=3600,
        description="Seconds for which verifiers may cache `/.well-known/jwks.json`; a new key "
        "signs only after that time.",
    )
