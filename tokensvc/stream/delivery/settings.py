"""Settings of the delivery to Stream."""

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """Processes that deliver to Stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedded: bool = Field(
        default=True,
        description="Whether each worker process also delivers revocations to Stream; if not, run "
        "`tokensvc worker` in addition to the service.",
    )
