"""Settings of the delivery to Stream."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class WorkerSettings(BaseModel):
    """Processes that deliver to Stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedded: bool = Field(
        default=True,
        description="Whether each worker process also delivers revocations to Stream; if not, run "
        "`tokensvc worker` in addition to the service.",
    )


class ErasureSettings(BaseModel):
    """What Stream deletes of an erased user, and how (`POST /users/delete`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: Literal["soft", "pruning", "hard"] = Field(
        default="hard",
        description="How Stream deletes an erased user: `hard` removes everything, `pruning` the "
        "data of the user, `soft` only marks the user as deleted.",
    )
    messages: Literal["soft", "pruning", "hard"] = Field(
        default="hard", description="How Stream deletes the messages of an erased user."
    )
    conversations: Literal["soft", "hard"] = Field(
        default="hard",
        description="How Stream deletes the channels that an erased user and one other have.",
    )
