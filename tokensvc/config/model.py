"""
The settings model: the fields that belong to no package, and each package's own settings.

An error text says what would be valid. It never repeats a secret, nor a URL that may contain one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo

from tokensvc.accounts.settings import AccountSettings
from tokensvc.audit.settings import AuditSettings
from tokensvc.config.urls import DatabaseUrl, RedisUrl, WebUrl, split_url
from tokensvc.core import user_ids
from tokensvc.database.settings import DatabaseSettings
from tokensvc.http.settings import CorsSettings, HostsSettings, ProxiesSettings
from tokensvc.issuers.settings import IssuerSettings, JwksSettings
from tokensvc.limits.settings import LimitSettings
from tokensvc.sessions.settings import SessionSettings
from tokensvc.stream.delivery.rules import REACH, DeliveryKind
from tokensvc.stream.delivery.settings import ErasureSettings, WorkerSettings
from tokensvc.stream.keys.rules import API_KEY_PATTERN, check_no_placeholder, check_secret
from tokensvc.telemetry.settings import Address, LogSettings, MetricsSettings
from tokensvc.tokens.settings import TokenSettings
from tokensvc.vault.rules import decoded_encryption_key

PLACEHOLDER_API_KEY = "placeholder"
"""Stream key of generated development settings; Stream has no key of this name."""


def _encryption_key(key: SecretStr) -> SecretStr:
    decoded_encryption_key(key.get_secret_value())
    return key


def _stream_key(key: str) -> str:
    check_no_placeholder(key)
    return key


def _stream_secret(secret: SecretStr, info: ValidationInfo) -> SecretStr:
    check_secret(secret.get_secret_value(), info.data.get("api_key") or "")
    return secret


EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
StreamSecret = Annotated[SecretStr, AfterValidator(_stream_secret)]


def _default_public_url(valid: dict[str, Any]) -> str:
    if valid.get("environment") != "development":
        return ""
    return f"http://127.0.0.1:{valid.get('bind', ':8000').rpartition(':')[2]}"


def _default_delivery(valid: dict[str, Any]) -> Literal["on", "off"]:
    return "off" if valid.get("api_key") == PLACEHOLDER_API_KEY else "on"


class StreamSettings(BaseModel):
    """The Stream app. The variables have the names that Stream's SDKs read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: Annotated[str, Field(pattern=API_KEY_PATTERN), AfterValidator(_stream_key)] | None = (
        Field(default=None, description="Public key of the app, from Stream's dashboard.")
    )
    api_secret: StreamSecret | None = Field(
        default=None, description="Secret of the app; only the first start needs key and secret."
    )
    base_url: WebUrl = Field(
        default="https://chat.stream-io-api.com", description="Base URL of Stream's API."
    )
    delivery: Literal["on", "off"] = Field(
        default_factory=_default_delivery,
        description="Whether revocations and profiles are delivered to Stream. If `off`, Stream "
        "accepts tokens of revoked users until they expire. The default is `off` with the "
        "placeholder key of `make run`.",
        json_schema_extra={"default": "on"},
    )
    share: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of Stream's rate limits that deliveries use at most. The app's own "
        "backend has the same limits, and gets the rest.",
    )
    devices: Literal["remove", "keep"] = Field(
        default="remove",
        description="What happens to the devices of a user at Stream who is suspended, signed out "
        "everywhere, or whose account is deleted. `remove`: they get no push notifications until "
        "the app starts again with a signed-in user. `keep`: they still get them.",
    )

    @property
    def is_delivery_on(self) -> bool:
        """Whether revocations and profiles are delivered to Stream."""
        return self.delivery == "on"

    @property
    def reach(self) -> Sequence[DeliveryKind]:
        """Kinds of deliveries that follow the cut-off of a user."""
        if not self.is_delivery_on:
            return ()
        return REACH if self.devices == "remove" else ("hint",)


class UserIdSettings(BaseModel):
    """Rules for user IDs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alphabet: user_ids.Alphabet = Field(
        default=user_ids.Alphabet.DOCUMENTED,
        description="Characters of a user ID: those that Stream documents, or with `extended` "
        "also `A-Z`.",
    )


class Settings(BaseModel):
    """All settings. `load` creates them and also checks fields against each other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    environment: Literal["production", "development"] = Field(
        default="production",
        description="`development` allows http on this machine and a development issuer.",
    )
    bind: Address = Field(
        default="127.0.0.1:8000", description="Address to listen on: `host:port`."
    )
    public_url: WebUrl = Field(
        default_factory=_default_public_url,
        description="URL at which clients reach the service, with https; required in production.",
    )
    workers: int = Field(default=2, ge=1, le=64, description="Number of worker processes.")
    threads: int = Field(
        default=8,
        ge=2,
        le=64,
        description="Number of simultaneous requests per worker process. A third of them cannot "
        "wait for anything but the database.",
    )
    max_connections: int = Field(
        default=1000,
        ge=10,
        le=100_000,
        description="Number of open connections per worker process; at the limit, a new one closes "
        "the one that is idle for longest.",
    )
    keep_alive: int = Field(
        default=75,
        ge=1,
        le=3600,
        description="Seconds after which an idle connection is closed: more than the idle timeout "
        "of a load balancer.",
    )
    stop_timeout: int = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds that a worker process which stops has for its last requests.",
    )
    database_url: DatabaseUrl = Field(
        default=SecretStr("sqlite:///var/tokensvc.db"),
        description="`sqlite:////absolute/path` for one host, `postgresql://…` for several; with "
        "several PostgreSQL servers `postgresql://user@h1:5432,h2:5432/name`. A "
        "relative path counts from the folder of the file in `TOKENSVC_CONFIG`; production without "
        "that file refuses it.",
        json_schema_extra={"default": "sqlite:///var/tokensvc.db"},
    )
    unsafe_restored: bool = Field(
        default=False,
        description="Start on a restored database without `tokensvc after-restore`; only in "
        "development.",
    )
    redis_url: RedisUrl | None = Field(
        default=None,
        description="URL of a Redis or Valkey server that counts rate limits for all instances; "
        "without it each worker process counts its own.",
    )
    encryption_keys: tuple[EncryptionKey, ...] = Field(
        default=(),
        description="Keys for secrets at rest: the first encrypts, all decrypt. Required with "
        "PostgreSQL; with SQLite one is generated next to the database file.",
    )
    issuers: tuple[IssuerSettings, ...] = Field(
        default=(), description="Identity providers whose users get tokens."
    )
    shared_user_ids: bool = Field(
        default=False,
        description="Allow several issuers to produce the same user ID, for the same person.",
    )
    database: DatabaseSettings = DatabaseSettings()
    user_ids: UserIdSettings = UserIdSettings()
    token: TokenSettings = TokenSettings()
    accounts: AccountSettings = AccountSettings()
    sessions: SessionSettings = SessionSettings()
    jwks: JwksSettings = JwksSettings()
    stream: StreamSettings = StreamSettings()
    erasure: ErasureSettings = ErasureSettings()
    limits: LimitSettings = LimitSettings()
    cors: CorsSettings = CorsSettings()
    hosts: HostsSettings = HostsSettings()
    proxies: ProxiesSettings = ProxiesSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    audit: AuditSettings = AuditSettings()
    worker: WorkerSettings = WorkerSettings()

    @property
    def has_accounts(self) -> bool:
        """Whether users can have an account here."""
        if self.accounts.enabled is None:
            return self.environment == "development" and not self.issuers
        return self.accounts.enabled

    @property
    def sign_up_takes_any_id(self) -> bool:
        """Whether anyone can sign up with a user ID for which a service may mint."""
        accounts = self.accounts
        is_open = self.has_accounts and accounts.sign_up == "open" and not accounts.user_id_prefix
        return is_open and self.environment == "production"

    @property
    def sqlite_path(self) -> Path | None:
        """Path of the SQLite file, absolute after `load`; `None` with PostgreSQL."""
        scheme, _, path = self.database_url.get_secret_value().partition(":///")
        return Path(path) if scheme == "sqlite" else None

    def secret_values(self) -> Iterator[str]:
        """Yield every secret, for the log to redact."""
        for url in (self.database_url, self.redis_url):
            password = split_url(url).password if url is not None else None
            if password:
                yield password
                yield unquote(password)
        for secret in (*self.encryption_keys, self.stream.api_secret, self.metrics.token):
            if secret is not None:
                yield secret.get_secret_value()
