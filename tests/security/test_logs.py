"""No secret is in a log line, whatever its way there."""

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testing.logs import caught_log
from tests.security.log_sinks import LOG, SINKS, as_exception
from tokensvc.telemetry import redaction

SHOWN = 16
"""So many characters of a secret in a row would be a leak."""


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


ids = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
random_texts = st.binary(min_size=24, max_size=48).map(b64)

jwts = st.builds(
    lambda claims, signature: ".".join(
        [
            b64(json.dumps({"alg": "RS256", "kid": "k1"}).encode()),
            b64(json.dumps(claims).encode()),
            b64(signature),
        ]
    ),
    st.dictionaries(st.sampled_from(["sub", "iss", "email"]), ids, min_size=1),
    st.binary(min_size=32, max_size=64),
)

# Texts with a secret, and the part that must be redacted.
in_texts = st.one_of(
    jwts.map(lambda token: (token, token)),
    jwts.map(lambda token: (f"Authorization: Bearer {token}", token)),
    random_texts.map(lambda text: (f"tks_{text}", text)),
    random_texts.map(lambda text: (f"tsr_{text}", text)),
    random_texts.map(lambda text: (f"tsi_{text}", text)),
    random_texts.map(lambda text: (f"tsp_{text}", text)),
    random_texts.map(lambda text: (f"upstream said: bearer {text}", text)),
    random_texts.map(lambda text: (f"Authorization: Digest {text}", text)),
    st.tuples(ids, random_texts).map(
        lambda pair: (
            "Basic " + base64.b64encode(":".join(pair).encode()).decode(),
            base64.b64encode(":".join(pair).encode()).decode(),
        )
    ),
    random_texts.map(lambda text: (f"postgresql://tokensvc:{text}@db.example/tokensvc", text)),
    random_texts.map(lambda text: (f"redis://:{text}@cache.example:6379/0", text)),
    random_texts.map(lambda text: (f"GET /v1/token?access_token={text}&x=1", text)),
    random_texts.map(lambda text: (f"client_secret={text}", text)),
    random_texts.map(lambda text: (f"Cookie: session={text}; a=b", text)),
)


def shows(text: str, secret: str) -> bool:
    return any(
        secret[start : start + SHOWN] in text for start in range(max(1, len(secret) - SHOWN + 1))
    )


@pytest.mark.sec(58)
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("style", ["json", "console"])
@settings(max_examples=40, deadline=None)
@given(planted=in_texts, before=st.sampled_from(["", "for john: ", "x" * 1010 + " "]))
def test_credentials_are_redacted_by_their_shape(
    style: str, sink: Callable[[str], None], planted: tuple[str, str], before: str
) -> None:
    """Complete or cut: no token, credential or password in a URL is in a line."""
    text, secret = planted
    with caught_log(format=style) as log:
        sink(before + text)
        assert log.text()
        assert not shows(log.text(), secret)


# With a distinct word, because hypothesis also tries texts of the log lines.
some_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)
configured = st.builds("{}pl4nted{}".format, some_text, some_text).filter(
    lambda text: text.strip() == text and len(text) >= redaction.MIN_SECRET_LENGTH
)


@pytest.mark.sec(25, 58)
@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("style", ["json", "console"])
@settings(max_examples=40, deadline=None)
@given(secret=configured, before=st.sampled_from(["", "secret is ", "x" * 1015]))
@example(secret='quote"back\\slash\npl4nted é', before="")
def test_configured_secrets_are_redacted_by_their_value(
    style: str, sink: Callable[[str], None], secret: str, before: str
) -> None:
    """However they look and are escaped."""
    with caught_log(format=style) as log:
        redaction.register_secrets([secret])
        sink(f"{before}{secret} and more")
        written = log.text()
        assert written
        assert "pl4nted" not in written


@pytest.mark.sec(25, 58)
def test_secret_at_the_end_of_a_shortened_field_is_redacted() -> None:
    with caught_log() as log:
        redaction.register_secrets(["planted-" + "s3cret-" * 10])
        LOG.info("something", detail="x" * 1000 + "planted-" + "s3cret-" * 10)
        assert "s3cret" not in log.text()


@pytest.mark.sec(25, 58)
@pytest.mark.parametrize("style", ["json", "console"])
def test_secret_with_several_lines_is_redacted(style: str) -> None:
    """A private key in a traceback."""
    secret = "-----BEGIN KEY-----\nfirst-half\nsecond-half\n-----END KEY-----"
    with caught_log(format=style) as log:
        redaction.register_secrets([secret])
        as_exception(f"cannot read {secret}")
        assert "half" not in log.text()


@pytest.mark.sec(25, 58)
def test_secrets_of_earlier_settings_stay_redacted() -> None:
    """A request that began before a reload can still log an old secret."""
    with caught_log() as log:
        redaction.register_secrets(["first-secret"])
        redaction.register_secrets(["first-secret-extended", "third-secret"])
        LOG.info("first-secret, first-secret-extended, third-secret")
        assert log.lines()[0]["event"] == "[redacted], [redacted], [redacted]"


@pytest.mark.sec(25, 58)
def test_secret_at_the_start_of_a_shortened_traceback_is_redacted() -> None:
    secret = "planted-" + "s3cret-" * 40
    with caught_log() as log:
        redaction.register_secrets([secret])
        as_exception(secret + "y" * (16_384 - 200))
        assert "s3cret" not in log.text()


@pytest.mark.sec(58)
@pytest.mark.parametrize(
    "name",
    [
        "authorization", "Authorization", "proxy_authorization", "cookie", "Set-Cookie", "password",
        "new_password", "passwd", "secret", "client_secret", "api_secret", "stream_api_secret",
        "token", "access_token", "refresh_token", "unverified_token", "tokens", "assertion",
        "client_assertion", "private_key", "encryption_keys", "credentials",
    ],
)  # fmt: skip
def test_fields_with_secret_names_are_redacted(name: str) -> None:
    """At any depth and with any value."""
    with caught_log() as log:
        LOG.info("something", **{name: "hunter2"}, deep={"list": [{name: 4711}]})
        (line,) = log.lines()
        assert line[name] == line["deep"]["list"][0][name] == "[redacted]"


@pytest.mark.sec(58)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_id", "john"), ("issuer", "acme"), ("client_id", "svc.abc"), ("api_key", "k1k2k3k4"),
        ("route", "/v1/token"), ("code", "credentials_expired"), ("credential", "bearer"),
        ("expires_at", 1795003600), ("status", 200), ("secret", None),
        ("detail", "The token has expired: get a new one from its issuer."),
        ("detail", "Basic credentials are unknown: check the client id."),
        ("fingerprint", "0123456789abcdef"), ("request_id", "0123456789abcdef0123456789abcdef"),
        ("url", "https://id.acme.example/jwks.json?a=b"), ("duration_ms", 1.25), ("ok", True),
    ],
)  # fmt: skip
def test_other_fields_are_not_redacted(name: str, value: object) -> None:
    with caught_log() as log:
        LOG.info("request", **{name: value})
        assert log.lines()[0][name] == value
