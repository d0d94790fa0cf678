"""Settings of rate limits."""

from typing import Annotated

import limits
from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _one_rate(text: str) -> str:
    try:
        rates = limits.parse_many(text)
    except ValueError:
        rates = []
    if len(rates) != 1 or rates[0].amount < 1:
        raise ValueError("write one rate, such as 60/minute, 1000/hour or 5/10 seconds")
    return text


Rate = Annotated[str, AfterValidator(_one_rate)]


class LimitSettings(BaseModel):
    """How often one user, one service and one failing address may ask."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mint: Rate = Field(
        default="60/minute", description="Requests of one user for a token or `/v1/me`."
    )
    service: Rate = Field(default="6000/minute", description="Requests of one service for a token.")
    failures: Rate = Field(
        default="60/minute", description="Failed authentications from one address."
    )
