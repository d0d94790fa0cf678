"""Requirements 61, 21 and 25: insecure settings stop the start, and no secret is shown."""

import copy
import json
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from tokensvc.config.loader import Settings, SettingsError, load

BASE = {
    "TOKENSVC_PUBLIC_URL": "https://tokens.example",
    "TOKENSVC_DATABASE_URL": "sqlite:////var/lib/tokensvc/tokensvc.db",
}
ISSUER = {
    "name": "acme",
    "issuer": "https://id.acme.example",
    "audience": "chat",
    "jwks_uri": "https://id.acme.example/jwks.json",
}
SECRETS = (
    "TOKENSVC_DATABASE_URL",
    "TOKENSVC_REDIS_URL",
    "TOKENSVC_ENCRYPTION_KEYS",
    "TOKENSVC_METRICS__TOKEN",
    "STREAM_API_SECRET",
)


def issuer(**changed: object) -> dict[str, str]:
    member = {name: value for name, value in {**ISSUER, **changed}.items() if value is not None}
    return {"TOKENSVC_ISSUERS": json.dumps([member])}


def invalid(environ: Mapping[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return {found.setting: found.message for found in caught.value.invalid}


@pytest.mark.sec(61)
@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({"TOKENSVC_PUBLIC_URL": ""}, "TOKENSVC_PUBLIC_URL"),
        ({"TOKENSVC_PUBLIC_URL": "http://tokens.example"}, "TOKENSVC_PUBLIC_URL"),
        ({"TOKENSVC_PUBLIC_URL": "http://127.0.0.1:8000"}, "TOKENSVC_PUBLIC_URL"),
        (issuer(audience=None), "TOKENSVC_ISSUERS[0].audience"),
        (issuer(audience=""), "TOKENSVC_ISSUERS[0].audience"),
        (issuer(audience=[]), "TOKENSVC_ISSUERS[0].audience"),
        (issuer(issuer=None), "TOKENSVC_ISSUERS[0].issuer"),
        (issuer(issuer="http://id.acme.example"), "TOKENSVC_ISSUERS[0].issuer"),
        (issuer(jwks_uri="http://id.acme.example/jwks.json"), "TOKENSVC_ISSUERS[0].jwks_uri"),
        (issuer(jwks_uri=None), "TOKENSVC_ISSUERS[0]"),
        (issuer(algorithms=["HS256"]), "TOKENSVC_ISSUERS[0].algorithms[0]"),
        (issuer(algorithms=["none"]), "TOKENSVC_ISSUERS[0].algorithms[0]"),
        (issuer(clock_leeway=61), "TOKENSVC_ISSUERS[0].clock_leeway"),
        ({"FLASK_DEBUG": "1"}, "FLASK_DEBUG"),
        ({"FLASK_DEBUG": "true"}, "FLASK_DEBUG"),
        ({"TOKENSVC_PROXIES__TRUSTED": '["0.0.0.0/0"]'}, "TOKENSVC_PROXIES__TRUSTED[0]"),
        ({"TOKENSVC_PROXIES__TRUSTED": '["::/0"]'}, "TOKENSVC_PROXIES__TRUSTED[0]"),
        ({"TOKENSVC_PROXIES__TRUSTED": '["128.0.0.0/1"]'}, "TOKENSVC_PROXIES__TRUSTED[0]"),
        ({"TOKENSVC_PROXIES__TRUSTED": '["2000::/3"]'}, "TOKENSVC_PROXIES__TRUSTED[0]"),
        ({"TOKENSVC_PROXIES__TRUSTED": '["*"]'}, "TOKENSVC_PROXIES__TRUSTED[0]"),
        ({"TOKENSVC_CORS__ORIGINS": '["*"]'}, "TOKENSVC_CORS__ORIGINS[0]"),
        ({"TOKENSVC_CORS__ORIGINS": '["null"]'}, "TOKENSVC_CORS__ORIGINS[0]"),
        ({"TOKENSVC_HOSTS__ALLOWED": '["*"]'}, "TOKENSVC_HOSTS__ALLOWED[0]"),
        ({"TOKENSVC_DATABASE_URL": "postgresql://h/d"}, "TOKENSVC_ENCRYPTION_KEYS"),
        ({"TOKENSVC_ENCRYPTION_KEYS": '["c2hvcnQ="]'}, "TOKENSVC_ENCRYPTION_KEYS[0]"),
        ({"TOKENSVC_ENCRYPTION_KEYS": f'["${"A" * 43}="]'}, "TOKENSVC_ENCRYPTION_KEYS[0]"),
        ({"TOKENSVC_METRICS__BIND": "0.0.0.0:8000"}, "TOKENSVC_METRICS__BIND"),
        ({"TOKENSVC_METRICS__BIND": "127.0.0.1:08000"}, "TOKENSVC_METRICS__BIND"),
        ({"TOKENSVC_METRICS__TOKEN": "short"}, "TOKENSVC_METRICS__TOKEN"),
        ({"TOKENSVC_JWKS__TIMEOUT": "30"}, "TOKENSVC_JWKS__TIMEOUT"),
    ],
)
def test_insecure_setting_is_refused(environ: Mapping[str, str], setting: str) -> None:
    assert list(invalid({**BASE, **environ})) == [setting]


@pytest.mark.sec(61)
def test_environment_is_production_by_default() -> None:
    assert load(BASE).environment == "production"
    assert "TOKENSVC_ENVIRONMENT" in invalid({**BASE, "TOKENSVC_ENVIRONMENT": "dev"})
    assert load({"TOKENSVC_ENVIRONMENT": "development", "FLASK_DEBUG": "1"})


@pytest.mark.sec(21, 61)
@pytest.mark.parametrize(
    ("secret", "accepted"),
    [
        ("s", False),
        ("s" * 31, False),
        ("s" * 32, True),
        ("é" * 16, True),
        ("é" * 15, False),
        (" " * 40, False),
        (" " + "s" * 40, False),
        ("s" * 40 + "\n", False),
    ],
)
def test_stream_secret_of_32_bytes_is_required(secret: str, accepted: bool) -> None:
    """RFC 7518 section 3.2: an HS256 key is at least as long as its hash."""
    environ = {**BASE, "STREAM_API_KEY": "k1", "STREAM_API_SECRET": secret}
    if accepted:
        assert load(environ).stream.api_secret
    else:
        assert list(invalid(environ)) == ["STREAM_API_SECRET"]


# The marker cannot be part of a message by chance, unlike the texts that hypothesis finds.
some_text = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30)
planted = st.builds("{}pl4nted{}".format, some_text, some_text)


@pytest.mark.sec(25)
@effort(deadline=None, max_examples=150)
@given(secret=planted, name=st.sampled_from(SECRETS), by_file=st.booleans(), as_list=st.booleans())
def test_message_contains_no_secret(
    tmp_path_factory: pytest.TempPathFactory,
    secret: str,
    name: str,
    by_file: bool,
    as_list: bool,
) -> None:
    value = json.dumps([secret]) if as_list else secret
    environ = {**BASE, "TOKENSVC_ISSUER": "x", "TOKENSVC_WORKERS": "0", name: value}
    if by_file:
        path = tmp_path_factory.mktemp("secrets") / "secret"
        path.write_text(environ.pop(name), encoding="utf-8")
        environ[f"{name}_FILE"] = str(path)
    with pytest.raises(SettingsError) as caught:
        load(environ)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    shown += repr(caught.value.invalid)
    assert "pl4nted" not in shown
    assert "pl4nted" not in repr(caught.value.__context__)
    assert "pl4nted" not in repr(caught.value.__cause__)


@pytest.mark.sec(25)
def test_misplaced_secret_in_toml_is_not_shown(tmp_path: Path) -> None:
    """Under an unknown name, instead of a table, or in invalid TOML."""
    for text in (
        "[stream]\nsecret = 'planted-secret'\n",
        "stream = 'planted-secret'\n",
        "metrics.token = ['planted-secret']\n",
        "encryption_keys = 'planted-secret'\n",
        "[stream]\napi_secret = planted-secret\n",
        "[stream]\napi_secret = 'planted-secret\n",
    ):
        path = tmp_path / "tokensvc.toml"
        path.write_text(text, encoding="utf-8")
        assert "planted-secret" not in repr(invalid({**BASE, "TOKENSVC_CONFIG": str(path)}))


GOOD = {
    **BASE,
    "TOKENSVC_DATABASE_URL": "postgresql://tokensvc:planted-p%40ss@db.example/tokensvc",
    "TOKENSVC_REDIS_URL": "rediss://:planted-redis@cache.example:6379/0",
    "TOKENSVC_ENCRYPTION_KEYS": '["cGxhbnRlZC1lbmNyeXB0aW9uLWtleS1vZi0zMi1ieXQ="]',
    "TOKENSVC_METRICS__TOKEN": "planted-metrics-token",
    "STREAM_API_KEY": "k1",
    "STREAM_API_SECRET": "planted-stream-secret-of-more-than-32-bytes",
}
PLANTED = ("planted-", "cGxhbnRlZC")


@pytest.mark.sec(25)
@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        "{}".format,
        lambda settings: repr(settings.stream),
        lambda settings: repr(dict(settings)),
        Settings.model_dump_json,
        lambda settings: repr(settings.model_dump()),
        lambda settings: repr(vars(settings)),
        lambda settings: repr(copy.copy(settings)),
    ],
)
def test_settings_are_printed_without_secrets(show) -> None:
    shown = show(load(GOOD))
    assert "k1" in shown or "api_key" in shown
    assert not any(part in shown for part in PLANTED)


@pytest.mark.sec(25)
def test_secret_values_are_complete() -> None:
    """The log redacts them. The password of a URL is in it as written and decoded."""
    assert set(load(GOOD).secret_values()) == {
        "planted-p%40ss",
        "planted-p@ss",
        "planted-redis",
        "cGxhbnRlZC1lbmNyeXB0aW9uLWtleS1vZi0zMi1ieXQ=",
        "planted-metrics-token",
        "planted-stream-secret-of-more-than-32-bytes",
    }
