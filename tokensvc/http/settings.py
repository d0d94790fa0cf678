"""Settings of HTTP: hosts, origins, proxies."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tokensvc.http import cors, hosts, proxies

Origin = Annotated[str, AfterValidator(cors.check_pattern)]
Host = Annotated[str, AfterValidator(hosts.check_name)]
Cidr = Annotated[str, AfterValidator(lambda cidr: str(proxies.check_network(cidr)))]


class CorsSettings(BaseModel):
    """Web pages that may call this service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    origins: tuple[Origin, ...] = Field(
        default=(), description="Exact origins of web apps: `https://app.example`."
    )


class HostsSettings(BaseModel):
    """Host names of this service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allowed: tuple[Host, ...] = Field(
        default=(),
        description="Accepted host names, without port; by default that of `public_url` and the "
        "loopback names.",
    )


class ProxiesSettings(BaseModel):
    """Proxies in front of this service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted: tuple[Cidr, ...] = Field(
        default=(),
        description="Networks of the proxies (CIDR) whose `X-Forwarded-For` is used.",
    )
