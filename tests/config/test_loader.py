"""Valid settings: their sources, and which takes precedence."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from tests.config.environments import BASE, ISSUER, KEY, OTHER_KEY
from tokensvc.config.loader import Settings, load
from tokensvc.config.sources import variables_of
from tokensvc.core.user_ids import Alphabet


def test_public_url_is_the_only_required_setting_in_a_file(toml, tmp_path: Path) -> None:
    settings = load(toml('public_url = "https://tokens.example"'))
    assert settings.environment == "production"
    assert settings.bind == "127.0.0.1:8000"
    assert settings.database_url.get_secret_value() == f"sqlite:///{tmp_path}/var/tokensvc.db"
    assert settings.sqlite_path == tmp_path / "var" / "tokensvc.db"
    assert settings.token.ttl == 3600
    assert settings.redis_url is None


def test_public_url_in_development_has_the_port_of_bind() -> None:
    settings = load({"TOKENSVC_ENVIRONMENT": "development", "TOKENSVC_BIND": "0.0.0.0:9000"})
    assert settings.public_url == "http://127.0.0.1:9000"


def test_variable_overrides_toml_and_toml_overrides_default(toml) -> None:
    environ = {
        **BASE,
        **toml('bind = "127.0.0.1:1"\nworkers = 3\n[token]\nttl = 600\nskew = 7\n'),
        "TOKENSVC_BIND": "127.0.0.1:2",
        "TOKENSVC_TOKEN__TTL": "900",
    }
    settings = load(environ)
    assert (settings.bind, settings.workers, settings.threads) == ("127.0.0.1:2", 3, 8)
    assert (settings.token.ttl, settings.token.skew, settings.token.jitter) == (900, 7, 0.05)


def test_variables_set_every_type_of_value() -> None:
    issuer = {
        "name": "acme",
        "issuer": "https://id.acme.example",
        "audience": "chat",
        "discovery": True,
    }
    settings = load(
        {
            **BASE,
            "TOKENSVC_WORKERS": "5",
            "TOKENSVC_SHARED_USER_IDS": "true",
            "TOKENSVC_USER_IDS__ALPHABET": "extended",
            "TOKENSVC_TOKEN__JITTER": "0.01",
            "TOKENSVC_CORS__ORIGINS": '["https://app.example"]',
            "TOKENSVC_ISSUERS": json.dumps([issuer]),
            "TOKENSVC_ENCRYPTION_KEYS": json.dumps([KEY, OTHER_KEY]),
            "STREAM_API_KEY": "k1",
            "STREAM_API_SECRET": "s" * 32,
            "STREAM_BASE_URL": "https://chat-proxy-dublin.stream-io-api.com/",
        }
    )
    assert settings.workers == 5
    assert settings.shared_user_ids is True
    assert settings.user_ids.alphabet is Alphabet.EXTENDED
    assert settings.token.jitter == 0.01
    assert settings.cors.origins == ("https://app.example",)
    assert settings.issuers[0].discovery
    assert [key.get_secret_value() for key in settings.encryption_keys] == [KEY, OTHER_KEY]
    assert settings.stream.api_key == "k1"
    assert settings.stream.base_url == "https://chat-proxy-dublin.stream-io-api.com"


def test_toml_table_defines_an_issuer(toml) -> None:
    (issuer,) = load({**BASE, **toml(ISSUER)}).issuers
    assert (issuer.name, issuer.audience) == ("acme", ("chat",))


def test_file_variable_reads_each_secret_without_white_space(tmp_path: Path) -> None:
    secrets = {
        "TOKENSVC_ENCRYPTION_KEYS": f"{KEY}\n{OTHER_KEY}\n",
        "TOKENSVC_DATABASE_URL": "postgresql://tokensvc:pass@db/tokensvc\n",
        "TOKENSVC_REDIS_URL": "redis://:pass@cache:6379/0\n",
        "TOKENSVC_METRICS__TOKEN": "a-token-of-24-characters\n",
        "STREAM_API_SECRET": "s" * 40 + "\r\n",
    }
    environ = {"TOKENSVC_PUBLIC_URL": "https://tokens.example", "STREAM_API_KEY": "k1"}
    for name, text in secrets.items():
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        environ[f"{name}_FILE"] = str(path)
    settings = load(environ)
    assert [key.get_secret_value() for key in settings.encryption_keys] == [KEY, OTHER_KEY]
    assert settings.database_url.get_secret_value() == "postgresql://tokensvc:pass@db/tokensvc"
    assert settings.redis_url == SecretStr("redis://:pass@cache:6379/0")
    assert settings.metrics.token == SecretStr("a-token-of-24-characters")
    assert settings.stream.api_secret == SecretStr("s" * 40)


def test_every_secret_field_has_a_file_variable() -> None:
    secrets = {variable.name for variable in variables_of(Settings) if variable.is_secret}
    assert secrets == {
        "TOKENSVC_DATABASE_URL",
        "TOKENSVC_REDIS_URL",
        "TOKENSVC_ENCRYPTION_KEYS",
        "TOKENSVC_METRICS__TOKEN",
        "STREAM_API_SECRET",
    }


def test_file_with_json_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(json.dumps([KEY]), encoding="utf-8")
    assert len(load({**BASE, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(path)}).encryption_keys) == 1


def test_empty_variable_is_not_set() -> None:
    """Compose files write `NAME=` for an absent value."""
    assert load({**BASE, "TOKENSVC_REDIS_URL": "", "TOKENSVC_CONFIG": ""}).redis_url is None


def test_variables_without_prefix_are_ignored() -> None:
    settings = load({**BASE, "WORKERS": "9", "workers": "9", "BIND": "x", "STREAM_APP_ID": "1"})
    assert settings.workers == 2


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load(BASE).workers = 3


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TOKENSVC_SERVICE_HOST", "10.0.0.1"),
        ("TOKENSVC_SERVICE_PORT", "8000"),
        ("TOKENSVC_SERVICE_PORT_HTTP", "8000"),
        ("TOKENSVC_PORT", "tcp://10.0.0.1:8000"),
        ("TOKENSVC_PORT_8000_TCP", "tcp://10.0.0.1:8000"),
        ("TOKENSVC_PORT_8000_TCP_PROTO", "tcp"),
        ("TOKENSVC_DB_SERVICE_HOST", "10.0.0.2"),
        ("TOKENSVC_DB_PORT", "tcp://10.0.0.2:5432"),
    ],
)
def test_variable_of_a_kubernetes_service_is_ignored(variable: str, value: str) -> None:
    """Kubernetes sets these in every pod next to a Service named `tokensvc`."""
    assert load({**BASE, variable: value})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////data/tokensvc.db", Path("/data/tokensvc.db")),
        ("sqlite:////data/c#/tokensvc.db", Path("/data/c#/tokensvc.db")),
        ("postgresql://h/d", None),
        ("postgresql+psycopg://h/d", None),
        ("postgres:///d?host=/run/postgresql", None),
    ],
)
def test_sqlite_path_follows_from_database_url(url: str, path: Path | None) -> None:
    environ = {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": json.dumps([KEY])}
    assert load({**BASE, **environ}).sqlite_path == path


def test_variables_have_prefixed_or_sdk_names() -> None:
    """`[token] ttl` is TOKENSVC_TOKEN__TTL; only variables of Stream's SDKs differ."""
    others = {
        variable.name
        for variable in variables_of(Settings)
        if variable.name != "TOKENSVC_" + "__".join(variable.path).upper()
    }
    assert others == {"STREAM_API_KEY", "STREAM_API_SECRET", "STREAM_BASE_URL"}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, False),
        ({"TOKENSVC_ACCOUNTS__ENABLED": "true"}, True),
        ({"TOKENSVC_ENVIRONMENT": "development"}, True),
        ({"TOKENSVC_ENVIRONMENT": "development", "TOKENSVC_ACCOUNTS__ENABLED": "false"}, False),
    ],
)
def test_accounts_are_on_if_enabled_and_in_development_without_issuers(
    toml, environ: dict[str, str], expected: bool
) -> None:
    assert load({**BASE, **environ}).has_accounts is expected
    if environ.keys() == {"TOKENSVC_ENVIRONMENT"}:
        assert load({**BASE, **environ, **toml(ISSUER)}).has_accounts is False
