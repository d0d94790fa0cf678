"""Settings of the delivery to Stream."""

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """Who does the work that no request waits for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedded: bool = Field(
        default=True,
        description="Whether each worker process also brings revocations over to Stream; if not, "
        "run `tokensvc worker` beside the service.",
    )
