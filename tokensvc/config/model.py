"""
The model of the settings, made of each package's own settings.

Owns the fields that belong to no package and the values that they are made of. A message says what
would be right and repeats no secret, nor a URL that may hold one.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tokensvc.audit.settings import AuditSettings
from tokensvc.core import user_ids
from tokensvc.delivery.settings import WorkerSettings
from tokensvc.http.settings import CorsSettings, HostsSettings, ProxiesSettings
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.keys.rules import MIN_SECRET_BYTES, decoded_encryption_key
from tokensvc.limits.settings import LimitSettings
from tokensvc.telemetry.settings import Address, LogSettings, MetricsSettings
from tokensvc.tokens.settings import TokenSettings

_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_REDIS = frozenset({"redis", "rediss"})

# At level debug it would log every value, secrets too, if PYDANTIC_SETTINGS_DEBUG were set.
logging.getLogger("pydantic_settings").setLevel(logging.INFO)


def split_url(url: SecretStr) -> SplitResult:
    """
    Take a URL apart.

    Raises:
        ValueError: Without the parser's text, which may quote the password.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        raise ValueError("is no URL; percent-encode what is special in its password") from None
    return parts


def _web_url(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in {"https", "http"}
        or not parts.hostname
        or parts.username is not None
        or parts.query
        or parts.fragment
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise ValueError("write a URL such as https://tokens.example, without a query")
    return text.rstrip("/")


def _database_url(url: SecretStr) -> SecretStr:
    parts = split_url(url)
    has_name = parts.path.strip("/") not in {"", ":memory:"}
    if has_name and parts.scheme in _POSTGRESQL:
        return url
    if has_name and parts.scheme == "sqlite" and not parts.netloc:
        return url
    raise ValueError(
        "write sqlite:///path/to/file.db (four slashes before an absolute path) or "
        "postgresql://user:password@host/database"
    )


def _redis_url(url: SecretStr) -> SecretStr:
    parts = split_url(url)
    if (parts.scheme in _REDIS and parts.hostname) or (parts.scheme == "unix" and parts.path):
        return url
    raise ValueError(
        "write redis://:password@host:6379/0, or rediss:// for TLS (Valkey speaks it too)"
    )


def _encryption_key(key: SecretStr) -> SecretStr:
    decoded_encryption_key(key.get_secret_value())
    return key


def _stream_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if text != text.strip():
        raise ValueError("has white space around it: copy it again from Stream's dashboard")
    if len(text.encode()) < MIN_SECRET_BYTES:
        raise ValueError(
            f"is shorter than {MIN_SECRET_BYTES} bytes, so tokens could be forged (RFC 7518 "
            "section 3.2): copy it again from Stream's dashboard"
        )
    return secret


WebUrl = Annotated[str, AfterValidator(_web_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
StreamSecret = Annotated[SecretStr, AfterValidator(_stream_secret)]


def _default_public_url(before: dict[str, Any]) -> str:
    if before.get("environment") != "development":
        return ""
    return f"http://127.0.0.1:{before.get('bind', ':8000').rpartition(':')[2]}"


PLACEHOLDER_API_KEY = "placeholder"
"""The Stream key that development settings are made with; Stream knows none of that name."""


def _default_delivery(before: dict[str, Any]) -> Literal["on", "off"]:
    return "off" if before.get("api_key") == PLACEHOLDER_API_KEY else "on"


class StreamSettings(BaseModel):
    """The Stream app. These variables have the names that Stream's SDKs read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: Annotated[str, Field(pattern=r"^[!-~]{1,255}$")] | None = Field(
        default=None, description="The app's public key, as Stream's dashboard shows it."
    )
    api_secret: StreamSecret | None = Field(
        default=None, description="Its secret; only the first start needs the pair."
    )
    base_url: WebUrl = Field(
        default="https://chat.stream-io-api.com", description="Where Stream's API is."
    )
    delivery: Literal["on", "off"] = Field(
        default_factory=_default_delivery,
        description="Whether Stream is told of revocations and profiles. Without it Stream accepts "
        "revoked users' tokens until they expire. Off by itself with the placeholder key of "
        "`make run`.",
        json_schema_extra={"default": "on"},
    )


class UserIdSettings(BaseModel):
    """What a user id may look like."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alphabet: user_ids.Alphabet = Field(
        default=user_ids.Alphabet.DOCUMENTED,
        description="The characters that Stream documents, or with `extended` also `A-Z`.",
    )


class Settings(BaseSettings):
    """Everything that an operator can set. Made by `load`, which checks what fields cannot."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", case_sensitive=True, validate_default=False
    )

    environment: Literal["production", "development"] = Field(
        default="production",
        description="`development` allows http on this machine and a development issuer.",
    )
    bind: Address = Field(default="127.0.0.1:8000", description="Where to listen: `host:port`.")
    public_url: WebUrl = Field(
        default_factory=_default_public_url,
        description="The https URL under which clients reach the service; required outside "
        "development.",
    )
    workers: int = Field(default=2, ge=1, le=64, description="Worker processes.")
    threads: int = Field(default=4, ge=1, le=64, description="Requests at once in each of them.")
    database_url: DatabaseUrl = Field(
        default=SecretStr("sqlite:///var/tokensvc.db"),
        description="`sqlite:///path` for one host, `postgresql://…` for several.",
        json_schema_extra={"default": "sqlite:///var/tokensvc.db"},
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        description="Redis or Valkey that counts rate limits for all instances; without it each "
        "worker process counts for itself.",
    )
    encryption_keys: tuple[EncryptionKey, ...] = Field(
        default=(),
        description="Encrypt secrets at rest: the first encrypts, all decrypt. Required with "
        "PostgreSQL; SQLite makes one beside its file.",
    )
    issuers: tuple[IssuerSettings, ...] = Field(
        default=(), description="The identity providers whose users get tokens."
    )
    shared_user_ids: bool = Field(
        default=False,
        description="Let issuers give the same user id, when their users are the same people.",
    )
    user_ids: UserIdSettings = UserIdSettings()
    token: TokenSettings = TokenSettings()
    jwks: JwksSettings = JwksSettings()
    stream: StreamSettings = StreamSettings()
    limits: LimitSettings = LimitSettings()
    cors: CorsSettings = CorsSettings()
    hosts: HostsSettings = HostsSettings()
    proxies: ProxiesSettings = ProxiesSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = AuditSettings()
    worker: WorkerSettings = WorkerSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Look at no variable by itself: `load` reads them, under names of their own."""
        return (init_settings,)

    @property
    def sqlite_path(self) -> Path | None:
        """The database file, when it is SQLite."""
        parts = split_url(self.database_url)
        return Path(parts.path[1:]) if parts.scheme == "sqlite" else None

    def secret_values(self) -> Iterator[str]:
        """Give every secret, so that no log line shall hold one."""
        for url in (self.database_url, self.redis_url):
            password = split_url(url).password if url is not None else None
            if password:
                yield password
                yield unquote(password)
        for secret in (*self.encryption_keys, self.stream.api_secret, self.metrics.token):
            if secret is not None:
                yield secret.get_secret_value()
