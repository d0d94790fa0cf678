"""Settings of identity providers and of the cache of their keys."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    field_validator,
    model_validator,
)

from tokensvc.core.user_ids import Mapping
from tokensvc.issuers import presets
from tokensvc.net.urls import parse_key_url

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Asymmetric only: who can verify an HS256 token can also make one."""

DEVELOPMENT_ISSUER = "http://localhost/development-issuer"
"""The `iss` of `development.py`, which signs in whomever it is asked to."""

MAX_LEEWAY = 60
_KEY_SOURCES = ("jwks_uri", "discovery", "public_keys_file")
_FIXED_BY_PRESET = ("issuer", *_KEY_SOURCES)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RESERVED_NAMES = frozenset({"accounts", "service"})
_PREFIX = re.compile(r"[A-Za-z0-9@_-]{0,64}")


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class IssuerSettings(BaseModel):
    """
    One identity provider whose users may have Stream tokens.

    A preset gives every member that is not written out, but the audience.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default="",
        validate_default=True,
        description="How logs, metrics and answers call the issuer.",
    )
    preset: str | None = Field(
        default=None,
        description='A known provider, for instance "firebase:my-project"; only `audience` is '
        "needed beside it.",
    )
    issuer: str = Field(
        default="", validate_default=True, description="What `iss` must be, exactly."
    )
    audience: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = Field(
        min_length=1, description="What the claim of `audience_claim` must hold, one or several."
    )
    audience_claim: Literal["aud", "client_id", "azp"] = Field(
        default="aud", description="The claim that must hold `audience`."
    )
    required_claims: dict[str, str | bool | int] = Field(
        default_factory=dict, description="Claims that must have exactly these values."
    )
    jwks_uri: str | None = Field(default=None, description="Where the issuer publishes its keys.")
    discovery: bool = Field(
        default=False, description="Find `jwks_uri` through the issuer's OpenID metadata."
    )
    public_keys_file: Path | None = Field(
        default=None, description="A PEM file with the issuer's public keys, instead of a URL."
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256",), min_length=1, description="Signature algorithms, asymmetric only."
    )
    user_id_claim: str = Field(
        default="sub",
        min_length=1,
        description="The claim that becomes the user id; `email` counts only when verified.",
    )
    user_id_mapping: Mapping = Field(
        default=Mapping.EXACT, description="How the claim becomes a legal user id."
    )
    user_id_prefix: str = Field(default="", description="Put before every user id of this issuer.")
    sign_in_time: Literal["auth_time", "amr", "iat"] = Field(
        default="auth_time", description="The claim that a revocation is compared with."
    )
    types: tuple[str, ...] = Field(
        default=("JWT", "at+jwt"),
        min_length=1,
        description="The header's `typ`, when there is one.",
    )
    clock_leeway: int = Field(
        default=10, ge=0, le=MAX_LEEWAY, description="Seconds of grace for `exp`, `nbf`, `iat`."
    )
    clock_ahead: int = Field(
        default=2,
        ge=0,
        le=MAX_LEEWAY,
        description="Seconds by which the issuer's clock may run ahead of ours, for revocations.",
    )
    max_lifetime: int = Field(
        default=86400, gt=0, description="The longest life of a token, `exp` - `iat`, in seconds."
    )

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        if not isinstance(preset, str):
            return values
        fixed = [member for member in _FIXED_BY_PRESET if values.get(member)]
        if fixed:
            raise ValueError(f"preset {preset!r} already says {', '.join(fixed)}: keep one of them")
        return {**presets.expand(preset), **values}

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1 to 64 of a-z 0-9 _ -, beginning with a letter or digit")
        if name in _RESERVED_NAMES:
            raise ValueError(f"{name!r} stands for this service's own: choose another name")
        return name

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, issuer: str) -> str:
        if not issuer or not issuer.isprintable() or issuer != issuer.strip():
            raise ValueError("must be the exact text of `iss`, or use a preset")
        if issuer.startswith("http:"):
            parse_key_url(issuer)
        return issuer

    @field_validator("jwks_uri")
    @classmethod
    def _check_jwks_uri(cls, jwks_uri: str | None) -> str | None:
        if jwks_uri is not None:
            parse_key_url(jwks_uri)
        return jwks_uri

    @field_validator("audience", "types")
    @classmethod
    def _check_no_empty_text(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(texts):
            raise ValueError("must not hold an empty text")
        return texts

    @field_validator("user_id_prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        if not _PREFIX.fullmatch(prefix):
            raise ValueError("must be up to 64 characters that a user id may hold: a-z 0-9 @ _ -")
        return prefix

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        given = [member for member in _KEY_SOURCES if getattr(self, member)]
        if len(given) != 1:
            raise ValueError(
                "exactly one of jwks_uri, discovery = true and public_keys_file must say where "
                f"the keys are; {'given: ' + ', '.join(given) if given else 'none is given'}"
            )
        if self.discovery:
            parse_key_url(self.issuer)
        return self


class JwksSettings(BaseModel):
    """How the keys of issuers are fetched and kept. All durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refresh: int = Field(default=300, ge=1, description="Between two fetches in the background.")
    max_stale: int = Field(
        default=86400, ge=60, description="For how long the last good keys stand in for new ones."
    )
    cooldown: int = Field(
        default=30, ge=1, description="Between two fetches that unknown key ids cause."
    )
    timeout: float = Field(default=3, gt=0, le=3, description="For one fetch as a whole.")
    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Private networks (CIDR) in which issuers may be."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_stale < self.refresh:
            raise ValueError("max_stale must not be shorter than refresh")
        return self
