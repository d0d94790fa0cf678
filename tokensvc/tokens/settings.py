"""Settings of minted tokens."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MIN_TTL = 60
MAX_TTL = 7 * 24 * 3600


class TokenSettings(BaseModel):
    """Lifetime of a minted token, and whether clients must name a Stream key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ttl: int = Field(
        default=3600, ge=MIN_TTL, le=MAX_TTL, description="Lifetime of a token in seconds."
    )
    skew: int = Field(
        default=5,
        ge=0,
        le=60,
        description="Seconds by which `iat` is backdated, for clocks that run behind.",
    )
    jitter: float = Field(
        default=0.05,
        ge=0,
        le=0.05,
        description="Share of the default lifetime by which it is shortened at random.",
    )
    api_key: Literal["optional", "required"] = Field(
        default="optional",
        description="Whether a client must name the Stream key it was built with.",
    )
