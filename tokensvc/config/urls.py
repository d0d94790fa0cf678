"""
The URLs in the settings.

An error text says what would be valid. It never repeats a URL that may contain a secret.
"""

from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, SecretStr

from tokensvc.database.hosts import with_hosts_in_query

_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_REDIS = frozenset({"redis", "rediss"})
_SECRET_PARAMETERS = frozenset({"password", "sslpassword", "ssl_password"})


def split_url(url: SecretStr) -> SplitResult:
    """
    Split a URL into its parts.

    Raises:
        ValueError: It is not a URL. The text does not quote it, since it may contain a password.
    """
    try:
        parts = urlsplit(url.get_secret_value())
        parts.port  # noqa: B018 - raises if it is not a number
    except ValueError:
        raise ValueError(
            "is not a URL: percent-encode special characters in its password"
        ) from None
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
    url = SecretStr(with_hosts_in_query(url.get_secret_value()))
    parts = split_url(url)
    has_name = parts.path.strip("/") not in {"", ":memory:"}
    if has_name and parts.scheme in _POSTGRESQL:
        _check_query(parts.query)
        return url
    if has_name and parts.scheme == "sqlite" and not parts.netloc:
        return url
    raise ValueError(
        "write sqlite:////path/to/file.db (four slashes before an absolute path) or "
        "postgresql://user:password@host/database (several hosts: host:5432,other:5432)"
    )


def _check_query(query: str) -> None:
    """
    Refuse a secret in the query of an address: only a password before the host is redacted.

    Raises:
        ValueError: The query has a secret. The text does not quote it.
    """
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name in _SECRET_PARAMETERS:
            raise ValueError(
                f"remove the parameter {name}, which would be printed: write a password before the "
                "host, as in user:password@host, and use a client key without a password"
            )


def _redis_url(url: SecretStr) -> SecretStr:
    parts = split_url(url)
    _check_query(parts.query)
    if (parts.scheme in _REDIS and parts.hostname) or (parts.scheme == "unix" and parts.path):
        return url
    raise ValueError("write redis://:password@host:6379/0, or rediss:// for TLS (also for Valkey)")


WebUrl = Annotated[str, AfterValidator(_web_url)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database_url)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
