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
from tokensvc.net.addresses import check_key_url

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
"""Asymmetric only: anyone who can verify an HS256 token can also create one."""

DEVELOPMENT_ISSUER = "http://localhost/development-issuer"
"""`iss` of `development/issuer.py`, which signs in any user."""

ClaimValue = str | bool | int

MAX_LEEWAY = 60
_NOT_EMPTY = Field(min_length=1)
_KEY_SOURCES = ("jwks_uri", "discovery", "public_keys_file")
_FIXED_BY_PRESET = ("issuer", *_KEY_SOURCES)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_RESERVED_NAMES = frozenset({"accounts", "service"})


def _one_or_many(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _check_no_empty_text(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not all(texts):
        raise ValueError("must not contain an empty string")
    return texts


class EventSettings(BaseModel):
    """Events of an identity provider. Without this table its events are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    audience: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = Field(
        min_length=1,
        description="Accepted values of `aud` in events, one or several: the client ID at the "
        "provider, or the audience of its event stream.",
    )
    logout: Literal["user", "session"] = Field(
        default="user",
        description="What a logout at the provider ends: all sign-ins of the user, or only the "
        "session that it names, if the tokens contain `sid`.",
    )
    purge_erases: bool = Field(
        default=False,
        description="Whether the event that the provider has deleted an account "
        "(`account-purged`) erases the user; if not, it suspends the user.",
    )
    trusts_email: bool = Field(
        default=False,
        description="Whether an e-mail address in an event names its user without "
        "`email_verified: true`: the provider must have verified each address.",
    )

    @field_validator("audience")
    @classmethod
    def _check_audience(cls, audience: tuple[str, ...]) -> tuple[str, ...]:
        return _check_no_empty_text(audience)


class IssuerSettings(BaseModel):
    """
    An identity provider whose users get Stream tokens.

    A preset sets every member except `audience`; explicit members override it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        default="",
        validate_default=True,
        description="Name of the issuer in logs, metrics and responses.",
    )
    preset: str | None = Field(
        default=None,
        description='Known provider, such as "firebase:my-project"; only `audience` is needed in '
        "addition.",
    )
    issuer: str = Field(default="", validate_default=True, description="Exact value of `iss`.")
    audience: Annotated[tuple[str, ...], BeforeValidator(_one_or_many)] = Field(
        min_length=1, description="Accepted values of the claim `audience_claim`, one or several."
    )
    audience_claim: Literal["aud", "client_id", "azp"] = Field(
        default="aud", description="Claim that must contain `audience`."
    )
    required_claims: dict[str, ClaimValue | Annotated[tuple[ClaimValue, ...], _NOT_EMPTY]] = Field(
        default_factory=dict,
        description="Claims that must have exactly this value, or one of a list; "
        "`firebase.sign_in_provider` is a member of a claim.",
    )
    anonymous: Literal["accept", "refuse"] = Field(
        default="accept",
        description="Whether the provider's anonymous users get tokens; `refuse` needs the preset "
        "of Firebase or Supabase.",
    )
    jwks_uri: str | None = Field(default=None, description="URL of the issuer's keys.")
    discovery: bool = Field(
        default=False, description="Whether to read `jwks_uri` from the issuer's OpenID metadata."
    )
    public_keys_file: Path | None = Field(
        default=None,
        description=(
            "PEM file with the issuer's public keys, instead of a URL. A relative path counts from "
            "the folder of the file in `TOKENSVC_CONFIG`."
        ),
    )
    algorithms: tuple[Algorithm, ...] = Field(
        default=("RS256",), min_length=1, description="Signature algorithms, asymmetric only."
    )
    user_id_claim: str = Field(
        default="sub",
        min_length=1,
        description="Claim that is mapped to the user ID; `email` must be verified.",
    )
    user_id_mapping: Mapping = Field(
        default=Mapping.EXACT, description="How the claim is mapped to a legal user ID."
    )
    user_id_prefix: str = Field(
        default="", max_length=64, description="Prefix of every user ID of this issuer."
    )
    sign_in_time: Literal["auth_time", "amr", "iat"] = Field(
        default="auth_time", description="Claim that is compared with the cut-off of a revocation."
    )
    types: tuple[str, ...] = Field(
        default=("JWT", "at+jwt"),
        min_length=1,
        description="Accepted values of the header `typ`; a token without `typ` is also accepted.",
    )
    clock_leeway: int = Field(
        default=10, ge=0, le=MAX_LEEWAY, description="Tolerance in seconds for `exp`, `nbf`, `iat`."
    )
    clock_ahead: int = Field(
        default=2,
        ge=0,
        le=MAX_LEEWAY,
        description="Seconds by which the issuer's clock may be ahead, for sign-in times: a later "
        "one is refused.",
    )
    max_lifetime: int = Field(
        default=86400, gt=0, description="Maximum lifetime of a token, `exp` - `iat`, in seconds."
    )
    events: EventSettings | None = Field(
        default=None, description="Events that the provider sends, such as logouts."
    )

    @property
    def anonymous_mark(self) -> tuple[str, str | bool] | None:
        """Claim and value that mark an anonymous user; `None` if these users are accepted."""
        return presets.anonymous_mark(self.preset) if self.anonymous == "refuse" else None

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        if not isinstance(preset, str):
            return values
        fixed = [member for member in _FIXED_BY_PRESET if values.get(member)]
        if fixed:
            raise ValueError(f"preset {preset!r} already sets {', '.join(fixed)}: remove one")
        return {**presets.expand(preset), **values}

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1 to 64 of a-z 0-9 _ - and begin with a letter or digit")
        if name in _RESERVED_NAMES:
            raise ValueError(f"{name!r} is reserved: use another name")
        return name

    @field_validator("issuer")
    @classmethod
    def _check_issuer(cls, issuer: str) -> str:
        if not issuer or not issuer.isprintable() or issuer != issuer.strip():
            raise ValueError("must be the exact value of `iss`; or use a preset")
        if issuer.startswith("http:"):
            check_key_url(issuer)
        return issuer

    @field_validator("jwks_uri")
    @classmethod
    def _check_jwks_uri(cls, jwks_uri: str | None) -> str | None:
        if jwks_uri is not None:
            check_key_url(jwks_uri)
        return jwks_uri

    @field_validator("audience", "types")
    @classmethod
    def _check_texts(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        return _check_no_empty_text(texts)

    @model_validator(mode="after")
    def _check_anonymous(self) -> Self:
        if self.anonymous == "refuse" and self.anonymous_mark is None:
            raise ValueError(
                "anonymous = 'refuse' needs the preset of Firebase or Supabase; for another "
                "provider, set required_claims, such as {is_anonymous = false}"
            )
        return self

    @model_validator(mode="after")
    def _check_event_subject(self) -> Self:
        if self.events is not None and self.user_id_claim not in {"sub", "email"}:
            raise ValueError(
                "events name their user by `sub` or `email`: set user_id_claim to one of them, or "
                "remove events"
            )
        return self

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        given = [member for member in _KEY_SOURCES if getattr(self, member)]
        if len(given) != 1:
            raise ValueError(
                "set exactly one of jwks_uri, discovery = true and public_keys_file; "
                f"set now: {', '.join(given) or 'none'}"
            )
        if self.discovery:
            check_key_url(self.issuer)
        return self


class JwksSettings(BaseModel):
    """Cache of issuers' keys. All durations are in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refresh: int = Field(default=300, ge=1, description="Seconds between background key fetches.")
    max_stale: int = Field(
        default=86400,
        ge=60,
        description="Seconds for which valid keys are used while fetches fail.",
    )
    cooldown: int = Field(
        default=30, ge=1, description="Minimum seconds between fetches for unknown key IDs."
    )
    timeout: float = Field(
        default=3, gt=0, le=3, description="Maximum seconds for one fetch in total."
    )
    allowed_networks: tuple[IPvAnyNetwork, ...] = Field(
        default=(), description="Private networks (CIDR) from which keys may be fetched."
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.max_stale < self.refresh:
            raise ValueError("max_stale must not be shorter than refresh")
        return self
