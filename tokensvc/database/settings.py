"""Settings of the database, besides its URL."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_SHORTEST = 2.0


def _check_lease(seconds: float) -> float:
    if 0 < seconds < _SHORTEST:
        raise ValueError("write 0, or at least 2 seconds: the lease is renewed once a second")
    return seconds


class DatabaseSettings(BaseModel):
    """Rules for the use of the database."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease: Annotated[float, AfterValidator(_check_lease)] = Field(
        default=0.0,
        ge=0,
        le=60,
        description="Seconds after a durable commit during which reads of PostgreSQL count: with "
        "synchronous standbys, a server that was replaced gives no token. 0 turns it off.",
    )
