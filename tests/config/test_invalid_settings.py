"""Invalid settings: all are reported together, by name, with what would be valid."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.config.environments import BASE, ISSUER, KEY
from tokensvc.config.loader import InvalidSetting, SettingsError, load


def invalid(environ: Mapping[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load(environ)
    return {found.setting: found.message for found in caught.value.invalid}


UNKNOWN = "is unknown; did you mean {}?"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("TOKENSVC_ISSUER", "TOKENSVC_ISSUERS"),
        ("TOKENSVC_TOKEN_TTL", "TOKENSVC_TOKEN__TTL"),
        ("TOKENSVC_TTL", "TOKENSVC_TOKEN__TTL"),
        ("tokensvc_bind", "TOKENSVC_BIND"),
        ("TOKENSVC_STREAM__API_SECRET", "STREAM_API_SECRET"),
        ("TOKENSVC_STREAM_API_KEY", "STREAM_API_KEY"),
        ("TOKENSVC_REDIS_URL_FLE", "TOKENSVC_REDIS_URL_FILE"),
        ("TOKENSVC_CONFIG_FILE", "TOKENSVC_CONFIG"),
        ("TOKENSVC_PORT", None),
        ("TOKENSVC_ZZZ", None),
        ("TOKENSVC_WORKERS_FILE", "TOKENSVC_WORKERS"),
    ],
)
def test_unknown_variable_is_refused_with_nearest_name(variable: str, meant: str | None) -> None:
    message = invalid({**BASE, variable: "8000"})[variable]
    if meant:
        assert message == UNKNOWN.format(meant)
    else:
        assert message.startswith("is unknown")


@pytest.mark.parametrize(
    ("text", "setting", "meant"),
    [
        ("issuer = 'x'", "issuer", "issuers"),
        ("ttl = 60", "ttl", "token.ttl"),
        ("[tokens]\nttl = 60", "tokens", "token"),
        ("[token]\ntll = 60", "token.tll", "ttl"),
        ("[stream]\nsecret = 'x'", "stream.secret", "api_secret"),
        (ISSUER + "audiance = 'x'", "issuers[0].audiance", "audience"),
        ("Workers = 3", "Workers", "workers"),
    ],
)
def test_unknown_toml_key_is_refused_with_nearest_name(
    toml, text: str, setting: str, meant: str
) -> None:
    assert invalid({**BASE, **toml(text)}) == {setting: UNKNOWN.format(meant)}


def test_all_invalid_settings_are_reported_together(toml, tmp_path: Path) -> None:
    """Names that are unknown, values that are unreadable or out of range, and conflicts."""
    found = invalid(
        {
            **toml("[token]\nskew = 99\n[stream]\napi_key = 'k1'\n"),
            "TOKENSVC_WORKERS": "many",
            "TOKENSVC_BINDING": "x",
            "TOKENSVC_CORS__ORIGINS": "https://app.example",
            "TOKENSVC_REDIS_URL_FILE": str(tmp_path / "absent"),
            "TOKENSVC_DATABASE_URL": "postgresql://u:p@h/d",
            "TOKENSVC_METRICS__BIND": "127.0.0.1:8000",
        }
    )
    assert set(found) == {
        "TOKENSVC_WORKERS",
        "TOKENSVC_BINDING",
        "TOKENSVC_CORS__ORIGINS",
        "TOKENSVC_REDIS_URL_FILE",
        "token.skew",
        "stream.api_secret",
        "TOKENSVC_PUBLIC_URL",
        "TOKENSVC_ENCRYPTION_KEYS",
        "TOKENSVC_METRICS__BIND",
    }


def test_field_is_not_checked_against_an_invalid_one() -> None:
    found = invalid({**BASE, "TOKENSVC_DATABASE_URL": "mysql://x", "TOKENSVC_ENVIRONMENT": "test"})
    assert set(found) == {"TOKENSVC_DATABASE_URL", "TOKENSVC_ENVIRONMENT"}


def test_invalid_setting_has_the_name_that_the_operator_wrote(toml, tmp_path: Path) -> None:
    """A variable, the variable of a file, or a TOML path; then the index in a list."""
    bad_key = tmp_path / "keys"
    bad_key.write_text(f"{KEY}\nshort\n", encoding="utf-8")
    found = invalid(
        {
            **BASE,
            **toml(ISSUER + 'types = []\n[limits]\nmint = "often"\n'),
            "TOKENSVC_ENCRYPTION_KEYS_FILE": str(bad_key),
            "TOKENSVC_PROXIES__TRUSTED": '["10.0.0.0/8", "nonsense"]',
        }
    )
    assert set(found) == {
        "TOKENSVC_ENCRYPTION_KEYS_FILE[1]",
        "TOKENSVC_PROXIES__TRUSTED[1]",
        "issuers[0].types",
        "limits.mint",
    }


@pytest.mark.parametrize(
    ("environ", "setting", "hint"),
    [
        ({"TOKENSVC_BIND": "8000"}, "TOKENSVC_BIND", "127.0.0.1:8000"),
        ({"TOKENSVC_BIND": "localhost:99999"}, "TOKENSVC_BIND", "127.0.0.1:8000"),
        ({"TOKENSVC_WORKERS": "0"}, "TOKENSVC_WORKERS", "greater than or equal to 1"),
        ({"TOKENSVC_TOKEN__TTL": "59"}, "TOKENSVC_TOKEN__TTL", "greater than or equal to 60"),
        ({"TOKENSVC_TOKEN__TTL": "604801"}, "TOKENSVC_TOKEN__TTL", "less than or equal to 604800"),
        ({"TOKENSVC_TOKEN__API_KEY": "no"}, "TOKENSVC_TOKEN__API_KEY", "'optional' or 'required'"),
        ({"TOKENSVC_DATABASE__LEASE": "1.9"}, "TOKENSVC_DATABASE__LEASE", "at least 2 seconds"),
        ({"TOKENSVC_DATABASE__LEASE": "-1"}, "TOKENSVC_DATABASE__LEASE", "than or equal to 0"),
        ({"TOKENSVC_DATABASE__LEASE": "61"}, "TOKENSVC_DATABASE__LEASE", "than or equal to 60"),
        ({"TOKENSVC_LOG__LEVEL": "loud"}, "TOKENSVC_LOG__LEVEL", "'debug', 'info'"),
        ({"TOKENSVC_LIMITS__MINT": "60"}, "TOKENSVC_LIMITS__MINT", "60/minute"),
        ({"TOKENSVC_DATABASE_URL": "sqlite://"}, "TOKENSVC_DATABASE_URL", "sqlite:////path"),
        ({"TOKENSVC_DATABASE_URL": "sqlite:///:memory:"}, "TOKENSVC_DATABASE_URL", "sqlite:////p"),
        ({"TOKENSVC_DATABASE_URL": "sqlite://var/a.db"}, "TOKENSVC_DATABASE_URL", "four slashes"),
        ({"TOKENSVC_DATABASE_URL": "mysql://h/d"}, "TOKENSVC_DATABASE_URL", "postgresql://"),
        (
            {"TOKENSVC_DATABASE_URL": "postgresql://u@h/d?sslmode=require&password=hush"},
            "TOKENSVC_DATABASE_URL",
            "password",
        ),
        (
            {"TOKENSVC_DATABASE_URL": "postgresql://u@h/d?sslpasswor%64=hush"},
            "TOKENSVC_DATABASE_URL",
            "sslpassword",
        ),
        ({"TOKENSVC_REDIS_URL": "valkey://h"}, "TOKENSVC_REDIS_URL", "also for Valkey"),
        ({"TOKENSVC_REDIS_URL": "redis://h?password=hush"}, "TOKENSVC_REDIS_URL", "user:password@"),
        ({"TOKENSVC_REDIS_URL": "redis://h:port"}, "TOKENSVC_REDIS_URL", "percent-encode"),
        ({"TOKENSVC_PUBLIC_URL": "tokens.example"}, "TOKENSVC_PUBLIC_URL", "https://"),
        ({"TOKENSVC_PUBLIC_URL": "https://x.example/?a=b"}, "TOKENSVC_PUBLIC_URL", "query"),
        ({"TOKENSVC_PUBLIC_URL": "https://u:p@x.example"}, "TOKENSVC_PUBLIC_URL", "https://"),
        ({"TOKENSVC_ISSUERS": "[{]"}, "TOKENSVC_ISSUERS", 'such as ["one", "two"]'),
        ({"TOKENSVC_ISSUERS": "[" * 100_000}, "TOKENSVC_ISSUERS", "not valid JSON"),
        ({"TOKENSVC_ISSUERS": '["x"]'}, "TOKENSVC_ISSUERS[0]", "valid dictionary"),
        ({"TOKENSVC_CONFIG": "/nowhere/at/all"}, "TOKENSVC_CONFIG", "No such file"),
        ({"STREAM_API_KEY": "k 1"}, "STREAM_API_KEY", "match pattern"),
        ({"STREAM_API_KEY": "k1"}, "STREAM_API_SECRET", "is missing"),
        ({"STREAM_API_SECRET": "s" * 32}, "STREAM_API_KEY", "is missing"),
        (
            {"STREAM_API_KEY": "your-stream-key", "STREAM_API_SECRET": "s" * 32},
            "STREAM_API_KEY",
            "is a placeholder",
        ),
        (
            {"STREAM_API_KEY": "k1", "STREAM_API_SECRET": "the-secret-that-the-page-shows-012"},
            "STREAM_API_SECRET",
            "is a placeholder",
        ),
        (
            {"STREAM_API_KEY": "s" * 64, "STREAM_API_SECRET": "k1"},
            "STREAM_API_SECRET",
            "exchange key and secret",
        ),
        ({"STREAM_BASE_URL": "http://chat.example"}, "STREAM_BASE_URL", "https://"),
        ({"TOKENSVC_ERASURE__MESSAGES": "soft"}, "TOKENSVC_ERASURE__USER", "`pruning` here"),
    ],
)  # fmt: skip
def test_message_says_what_would_be_valid(
    environ: Mapping[str, str], setting: str, hint: str
) -> None:
    found = invalid({**BASE, **environ})
    assert list(found) == [setting]
    assert hint in found[setting]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (b"[token\nttl = 1", "at line 1"),
        (b"a = 1\na = 2", "Cannot overwrite a value"),
        (b"a = '\xff'", "not UTF-8"),
    ],
)
def test_invalid_toml_file_is_refused_with_the_reason(
    tmp_path: Path, text: bytes, hint: str
) -> None:
    path = tmp_path / "broken.toml"
    path.write_bytes(text)
    assert hint in invalid({**BASE, "TOKENSVC_CONFIG": str(path)})["TOKENSVC_CONFIG"]


@pytest.mark.parametrize(
    ("content", "hint"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\xff\xfe", "not UTF-8")],
)
def test_unusable_secret_file_is_refused(tmp_path: Path, content: bytes | None, hint: str) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    found = invalid({**BASE, "TOKENSVC_REDIS_URL_FILE": str(path)})
    assert hint in found["TOKENSVC_REDIS_URL_FILE"]


def test_secret_from_both_variable_and_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "url"
    path.write_text("redis://one", encoding="utf-8")
    environ = {"TOKENSVC_REDIS_URL": "redis://two", "TOKENSVC_REDIS_URL_FILE": str(path)}
    found = invalid({**BASE, **environ})
    assert found == {
        "TOKENSVC_REDIS_URL_FILE": "is set in addition to TOKENSVC_REDIS_URL: remove one"
    }


def two_issuers(**second: Any) -> dict[str, str]:
    first = {
        "name": "one",
        "issuer": "https://one.example",
        "audience": "chat",
        "jwks_uri": "https://one.example/jwks",
    }
    second_issuer = {**first, "name": "two", "issuer": "https://two.example", **second}
    return {**BASE, "TOKENSVC_ISSUERS": json.dumps([first, second_issuer])}


@pytest.mark.sec(13)
def test_overlapping_prefixes_are_refused_unless_user_ids_are_shared() -> None:
    (message,) = invalid(two_issuers(user_id_prefix="b-")).values()
    assert "one and two can produce the same user ID for two people" in message
    assert "user_id_prefix" in message
    assert "shared_user_ids" in message
    assert load({**two_issuers(), "TOKENSVC_SHARED_USER_IDS": "true"})


@pytest.mark.parametrize(
    ("second", "setting"),
    [
        ({"name": "one"}, "TOKENSVC_ISSUERS[1].name"),
        ({"issuer": "https://one.example"}, "TOKENSVC_ISSUERS[1].issuer"),
        ({"user_id_prefix": "B-"}, "TOKENSVC_ISSUERS[1].user_id_prefix"),
        ({"user_id_prefix": "b."}, "TOKENSVC_ISSUERS[1].user_id_prefix"),
    ],
)
def test_issuer_with_repeated_name_or_iss_or_illegal_prefix_is_refused(
    second: Mapping[str, str], setting: str
) -> None:
    environ = {**two_issuers(**second), "TOKENSVC_SHARED_USER_IDS": "true"}
    assert list(invalid(environ)) == [setting]


ACCOUNTS = {"TOKENSVC_ACCOUNTS__ENABLED": "true"}


def one_issuer(**members: Any) -> dict[str, str]:
    issuer = {
        "name": "acme",
        "issuer": "https://id.acme.example",
        "audience": "chat",
        "jwks_uri": "https://id.acme.example/jwks",
        "user_id_prefix": "acme-",
        **members,
    }
    return {**BASE, **ACCOUNTS, "TOKENSVC_ISSUERS": json.dumps([issuer])}


def test_accounts_and_an_issuer_need_prefixes_of_their_own() -> None:
    (message,) = invalid(one_issuer()).values()
    assert "acme and accounts can produce the same user ID for two people" in message
    assert load({**one_issuer(), "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "local-"})
    assert load({**one_issuer(), "TOKENSVC_SHARED_USER_IDS": "true"})
    assert load({**one_issuer(), "TOKENSVC_ACCOUNTS__ENABLED": "false"})


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        (one_issuer(issuer=BASE["TOKENSVC_PUBLIC_URL"]), "TOKENSVC_ISSUERS[0].issuer"),
        ({**BASE, **ACCOUNTS}, "TOKENSVC_ACCOUNTS__USER_ID_PREFIX"),
    ],
)
def test_issuer_that_could_be_taken_for_the_accounts_or_illegal_prefix_is_refused(
    environ: Mapping[str, str], setting: str
) -> None:
    environ = {**environ, "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "local-"}
    if setting == "TOKENSVC_ACCOUNTS__USER_ID_PREFIX":
        environ[setting] = "Local-"
    assert list(invalid(environ)) == [setting]
    assert load({**environ, "TOKENSVC_ACCOUNTS__ENABLED": "false"})


def test_open_sign_up_with_shared_user_ids_is_refused() -> None:
    """Anyone could sign up with the user ID of a user of the issuer."""
    environ = {
        **one_issuer(),
        "TOKENSVC_ACCOUNTS__USER_ID_PREFIX": "local-",
        "TOKENSVC_ACCOUNTS__SIGN_UP": "open",
    }
    assert load(environ)
    shared = {**environ, "TOKENSVC_SHARED_USER_IDS": "true"}
    assert list(invalid(shared)) == ["TOKENSVC_ACCOUNTS__SIGN_UP"]
    assert load({**shared, "TOKENSVC_ACCOUNTS__SIGN_UP": "invitation"})


def test_extended_alphabet_allows_capitals_in_prefixes() -> None:
    environ = two_issuers(user_id_prefix="B-")
    environ |= {"TOKENSVC_SHARED_USER_IDS": "1", "TOKENSVC_USER_IDS__ALPHABET": "extended"}
    assert load(environ).issuers[1].user_id_prefix == "B-"


def test_error_text_has_one_line_per_setting() -> None:
    text = str(
        SettingsError(
            [InvalidSetting("TOKENSVC_A", "is wrong"), InvalidSetting("token.b", "is too")]
        )
    )
    assert text == "TOKENSVC_A: is wrong\ntoken.b: is too"
