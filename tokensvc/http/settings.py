"""Settings of what surrounds a request: hosts, origins, proxies."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tokensvc.http import cors, hosts, proxies

Origin = Annotated[str, AfterValidator(cors.check_pattern)]
Host = Annotated[str, AfterValidator(hosts.check_name)]
Cidr = Annotated[str, AfterValidator(lambda cidr: str(proxies.check_network(cidr)))]


class CorsSettings(BaseModel):
    """Which web pages may call this service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: tuple[Origin, ...] = Field(
        default=(), description="Their origins, exact: `https://app.example`."
    )


class HostsSettings(BaseModel):
    """Which names this service answers to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: tuple[Host, ...] = Field(
        default=(),
        description="Host names without port; by default that of `public_url` and the loopback "
        "names.",
    )


class ProxiesSettings(BaseModel):
    """Which proxies stand in front."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted: tuple[Cidr, ...] = Field(
        default=(),
        description="Their networks (CIDR); only their `X-Forwarded-For` is believed.",
    )
