"""Settings of the log and of the metrics."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

MIN_TOKEN_LENGTH = 16
MAX_PORT = 65535


def _address(text: str) -> str:
    found = re.fullmatch(r"(?:\[[0-9A-Fa-f:.]+\]|[^\s:\[\]]+):([0-9]{1,5})", text)
    if found is None or int(found[1]) > MAX_PORT:
        raise ValueError("write a host and a port, such as 127.0.0.1:8000 or [::1]:8000")
    return text


def port_of(address: str) -> int:
    """Return the port of an `Address`."""
    return int(address.rpartition(":")[2])


def _long_enough(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < MIN_TOKEN_LENGTH:
        raise ValueError(f"use at least {MIN_TOKEN_LENGTH} random characters")
    return token


Address = Annotated[str, AfterValidator(_address)]
"""Address to listen on: `host:port`."""


class LogSettings(BaseModel):
    """Log level and format."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Minimum severity of log lines."
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto",
        description="`json` or `console`; `auto` is `console` if standard error is a terminal.",
    )


class MetricsSettings(BaseModel):
    """Access to the metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bind: Address | None = Field(
        default=None, description="Separate `host:port` for metrics, without a token."
    )
    token: Annotated[SecretStr, AfterValidator(_long_enough)] | None = Field(
        default=None, description="Bearer token that `/metrics` requires."
    )
