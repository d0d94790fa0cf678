"""Settings of rate limits."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tokensvc.limits.rules import Rate

_RATE = re.compile(
    r"(?P<limit>[1-9]\d{0,8}) ?/ ?(?:(?P<count>[1-9]\d{0,3}) )?(?P<unit>second|minute|hour|day)s?",
    re.ASCII,
)
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


def parse_rate(text: str) -> Rate:
    """
    Parse a rate such as `60/minute`, `1000/hour` or `5/10 seconds`.

    Raises:
        ValueError: The text is not a rate.
    """
    found = _RATE.fullmatch(text)
    if found is None:
        raise ValueError("write one rate, such as 60/minute, 1000/hour or 5/10 seconds")
    return Rate(int(found["limit"]), int(found["count"] or 1) * _SECONDS[found["unit"]])


def _check_rate(text: str) -> str:
    parse_rate(text)
    return text


RateText = Annotated[str, AfterValidator(_check_rate)]


class LimitSettings(BaseModel):
    """Rate limits per user, per service client and per address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mint: RateText = Field(
        default="60/minute",
        description="Requests of one user to all routes except `POST /v1/me/revocations`, their "
        "sign-ins with a password, and a service's requests for tokens of that user.",
    )
    service: RateText = Field(
        default="6000/minute", description="Requests of one service client to `/v1/token`."
    )
    manage: RateText = Field(
        default="600/minute", description="Requests of one service client to all other routes."
    )
    sign_out: RateText = Field(
        default="10/minute", description="Requests of one user to `POST /v1/me/revocations`."
    )
    expired: RateText = Field(
        default="60/minute",
        description="Requests of one user or service client with an expired credential.",
    )
    failures: RateText = Field(
        default="60/minute",
        description="Requests from one address (IPv6: one /64 network) with an invalid credential, "
        "or malformed before it is verified. "
        "Requests with a valid one are not refused.",
    )
    sign_up: RateText = Field(
        default="10/hour", description="Sign-ups from one address (IPv6: one /64 network)."
    )
    codes: RateText = Field(
        default="10/minute",
        description="Invalid reset codes from one address (IPv6: one /64 network).",
    )
    sign_in: RateText = Field(
        default="60/minute",
        description="Failed sign-ins from one address (IPv6: one /64 network). Beyond it, only "
        "passwords of accounts that know the address are checked.",
    )
    sign_in_56: RateText = Field(
        default="90/minute", description="The same for one /56 network of IPv6 addresses."
    )
    sign_in_48: RateText = Field(
        default="120/minute", description="The same for one /48 network of IPv6 addresses."
    )
    refresh: RateText = Field(
        default="60/minute", description="Refreshes of one session of a built-in account."
    )
