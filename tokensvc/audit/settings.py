"""Settings of the audit trail."""

from pydantic import BaseModel, ConfigDict, Field


class AuditSettings(BaseModel):
    """Retention of audit events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retention: int = Field(
        default=365 * 86400,
        ge=86400,
        description="Seconds for which audit events, undone revocations and finished deliveries "
        "are kept; older ones are purged.",
    )
