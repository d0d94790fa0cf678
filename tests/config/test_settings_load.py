"""Settings: where they come from, and which wins."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from tests.config.environs import BASE, ISSUER, KEY, OTHER_KEY
from tokensvc.config import sources
from tokensvc.config.loader import Settings, load
from tokensvc.core.user_ids import Alphabet


def test_one_variable_is_enough() -> None:
    """The smallest deployment has defaults for all but its URL."""
    settings = load(BASE)
    assert settings.environment == "production"
    assert settings.bind == "127.0.0.1:8000"
    assert settings.database_url.get_secret_value() == "sqlite:///var/tokensvc.db"
    assert settings.sqlite_path == Path("var/tokensvc.db")
    assert settings.token.ttl == 3600
    assert settings.redis_url is None


def test_development_needs_nothing() -> None:
    """In development the URL follows from the port."""
    settings = load({"TOKENSVC_ENVIRONMENT": "development", "TOKENSVC_BIND": "0.0.0.0:9000"})
    assert settings.public_url == "http://127.0.0.1:9000"


def test_variables_go_before_the_file_and_the_file_before_defaults(toml) -> None:
    """Each value comes from the first source that has it, member by member."""
    environ = {
        **BASE,
        **toml('bind = "127.0.0.1:1"\nworkers = 3\n[token]\nttl = 600\nskew = 7\n'),
        "TOKENSVC_BIND": "127.0.0.1:2",
        "TOKENSVC_TOKEN__TTL": "900",
    }
    settings = load(environ)
    assert (settings.bind, settings.workers, settings.threads) == ("127.0.0.1:2", 3, 4)
    assert (settings.token.ttl, settings.token.skew, settings.token.jitter) == (900, 7, 0.05)


def test_every_kind_of_value_in_variables() -> None:
    """Numbers, words, truth values, lists as JSON, and Stream's own names."""
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


def test_issuers_in_toml(toml) -> None:
    """The eight lines of a team with its own identity provider."""
    (issuer,) = load({**BASE, **toml(ISSUER)}).issuers
    assert (issuer.name, issuer.audience) == ("acme", ("chat",))


def test_every_secret_can_come_from_a_file(tmp_path: Path) -> None:
    """`…_FILE` names a file that holds it; white space around it does not count."""
    secrets = {
        "TOKENSVC_ENCRYPTION_KEYS": f"{KEY}\n{OTHER_KEY}\n",
        "TOKENSVC_DATABASE_URL": "postgresql://tokensvc:pass@db/tokensvc\n",
        "TOKENSVC_REDIS_URL": "redis://:pass@cache:6379/0\n",
        "TOKENSVC_METRICS__TOKEN": "a-token-of-24-characters\n",
        "STREAM_API_SECRET": "s" * 40 + "\r\n",
    }
    environ = {**BASE, "STREAM_API_KEY": "k1"}
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


def test_every_secret_has_a_file_variable() -> None:
    """No field of the model holds a secret that only a variable could give."""
    secret = {leaf.variable for leaf in sources.leaves(Settings) if leaf.is_secret}
    assert secret == {
        "TOKENSVC_DATABASE_URL",
        "TOKENSVC_REDIS_URL",
        "TOKENSVC_ENCRYPTION_KEYS",
        "TOKENSVC_METRICS__TOKEN",
        "STREAM_API_SECRET",
    }


def test_list_in_a_file_may_be_json(tmp_path: Path) -> None:
    """A file of keys may hold what the variable would."""
    path = tmp_path / "keys"
    path.write_text(json.dumps([KEY]), encoding="utf-8")
    assert len(load({**BASE, "TOKENSVC_ENCRYPTION_KEYS_FILE": str(path)}).encryption_keys) == 1


def test_an_empty_variable_is_not_set() -> None:
    """Compose files write `NAME=` for what is not there."""
    assert load({**BASE, "TOKENSVC_REDIS_URL": "", "TOKENSVC_CONFIG": ""}).redis_url is None


def test_other_variables_do_not_matter() -> None:
    """The model reads no variable by itself, in no spelling."""
    settings = load({**BASE, "WORKERS": "9", "workers": "9", "BIND": "x", "STREAM_APP_ID": "1"})
    assert settings.workers == 2


def test_the_environment_of_the_process_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what `load` is given counts."""
    monkeypatch.setenv("TOKENSVC_WORKERS", "9")
    monkeypatch.setenv("workers", "9")
    assert load(BASE).workers == Settings(public_url="https://x.example").workers == 2


def test_settings_cannot_be_changed() -> None:
    """Nobody turns a knob of a running process."""
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
def test_what_kubernetes_sets_is_no_setting(variable: str, value: str) -> None:
    """A Service named `tokensvc` puts such variables into every pod beside it."""
    assert load({**BASE, variable: value})


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/tokensvc.db", Path("var/tokensvc.db")),
        ("sqlite:////data/tokensvc.db", Path("/data/tokensvc.db")),
        ("postgresql://h/d", None),
        ("postgresql+psycopg://h/d", None),
        ("postgres:///d?host=/run/postgresql", None),
    ],
)
def test_sqlite_path(url: str, path: Path | None) -> None:
    """The file of a SQLite database, relative or absolute; none of PostgreSQL."""
    environ = {"TOKENSVC_DATABASE_URL": url, "TOKENSVC_ENCRYPTION_KEYS": json.dumps([KEY])}
    assert load({**BASE, **environ}).sqlite_path == path


def test_variables_are_named_by_one_rule() -> None:
    """TOKENSVC_TOKEN__TTL is `[token] ttl`; only what Stream's SDKs read has their names."""
    of_the_sdks = {"STREAM_API_KEY", "STREAM_API_SECRET", "STREAM_BASE_URL"}
    others = set()
    for leaf in sources.leaves(Settings):
        if leaf.variable != "TOKENSVC_" + "__".join(leaf.path).upper():
            others.add(leaf.variable)
    assert others == of_the_sdks
