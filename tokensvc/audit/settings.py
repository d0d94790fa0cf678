"""Settings of the audit trail."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """Retention of audit events, and what is one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention: int = Field(
        default=365 * 86400,
        ge=86400,
        description="Seconds for which audit events, undone revocations and finished deliveries "
        "are kept; older ones are purged.",
    )
    refreshes: Literal["irregular", "all"] = Field(
        default="irregular",
        description="Which refreshes of sessions are events: `irregular` those with a previous "
        "refresh token that came too late or from another network, `all` each rotation.",
    )
