"""SECURITY 58 and 6: no secret is in a line, and untrusted text cannot forge or hide one."""

import base64
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from hypothesis import example, given, settings
from hypothesis import strategies as st

from testing.logs import caught_log
from tokensvc.telemetry import redaction

SHOWN = 16
"""So many characters of a secret in a row would be a leak."""

LOG = structlog.get_logger()


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


def fail(error: Exception) -> None:
    raise error


def as_event(text: str) -> None:
    LOG.info(text)


def as_field(text: str) -> None:
    LOG.warning("something", detail=text)


def as_nested_field(text: str) -> None:
    LOG.info("something", request={"headers": [["X-Forwarded", text]], "more": (text, {text})})


def as_bytes(text: str) -> None:
    LOG.info("something", body=text.encode())


def as_object(text: str) -> None:
    LOG.info("something", error=ValueError(text))


def as_exception(text: str) -> None:
    try:
        fail(ValueError(text))
    except ValueError:
        LOG.exception("something failed")


def as_cause(text: str) -> None:
    try:
        try:
            fail(KeyError(text))
        except KeyError as error:
            raise RuntimeError("outer") from error
    except RuntimeError:
        LOG.exception("something failed")


def as_standard_log(text: str) -> None:
    logging.getLogger("urllib3.connectionpool").warning("Retrying after %s", text)


def as_bad_standard_log(text: str) -> None:
    two_arguments = "Invalid %s %s: " + text
    logging.getLogger("gunicorn.error").error(two_arguments, "one")


def as_standard_exception(text: str) -> None:
    try:
        fail(OSError(text))
    except OSError:
        logging.getLogger("gunicorn.error").exception("Error handling request")


def as_warning(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn(text, stacklevel=1)


def as_thread(text: str) -> None:
    thread = threading.Thread(target=fail, args=(RuntimeError(text),))
    thread.start()
    thread.join()


SINKS = [
    as_event,
    as_field,
    as_nested_field,
    as_bytes,
    as_object,
    as_exception,
    as_cause,
    as_standard_log,
    as_bad_standard_log,
    as_standard_exception,
    as_warning,
    as_thread,
]


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


@pytest.mark.sec(58)
def test_unprintable_value_does_not_lose_the_line() -> None:

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no text")

    deep: Any = "end"
    for _ in range(100_000):
        deep = [deep]
    with caught_log() as log:
        LOG.info("something", broken=Broken(), huge=10**5000, nan=float("nan"), deep=deep)
        (line,) = log.lines()
        assert (line["broken"], line["huge"]) == ("<Broken>", "[huge integer]")


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


UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
hostile = st.one_of(
    st.text(max_size=60),
    st.text("\r\n\x00\x1b\x07\x08\x7f\x85\x9b[]{}\"'\\ab \u2028\u2029\u202e\u2066", max_size=60),
    st.sampled_from(
        [
            'john\n{"level":"info","event":"forged"}',
            "\x1b[2J\x1b[H\x1b]0;title\x07",
            "\r\x1b[Kall is well",
            "\x9b31mred",
            "\ud800 lone",
        ]
    ),
)


@pytest.mark.sec(6, 58)
@pytest.mark.parametrize("sink", SINKS)
@settings(max_examples=40, deadline=None)
@given(text=hostile)
def test_json_line_escapes_control_characters(sink: Callable[[str], None], text: str) -> None:
    """CR, LF, ANSI and characters that reorder text."""
    with caught_log() as log:
        try:
            text.encode()
        except UnicodeEncodeError:
            if sink in {as_bytes, as_warning}:
                return  # Python itself cannot write these
        sink(text)
        assert len(log.lines()) == 1
        assert not UNSAFE.search(log.text().removesuffix("\n"))


@pytest.mark.sec(6, 58)
@pytest.mark.parametrize("sink", SINKS)
@settings(max_examples=40, deadline=None)
@given(text=hostile)
def test_text_line_cannot_be_forged(sink: Callable[[str], None], text: str) -> None:
    """All lines after the first one are marked as a traceback."""
    with caught_log(format="console") as log:
        try:
            text.encode()
        except UnicodeEncodeError:
            if sink in {as_bytes, as_warning}:
                return  # Python itself cannot write these
        sink(text)
        first, *others = log.text().removesuffix("\n").split("\n")
        assert re.match(r"\d\d:\d\d:\d\d (info|warning|error|critical) ", first)
        assert all(other.startswith("    | ") for other in others)
        assert not any(UNSAFE.search(line) for line in (first, *others))


@pytest.mark.sec(6)
@pytest.mark.parametrize(
    "kid", ["../../etc/passwd", "' OR 1=1 --", "k\x00ey", "k\ney", "k" * 10_000, 7, {"a": [1]}]
)
def test_any_key_id_is_logged_escaped_and_shortened(kid: Any) -> None:
    with caught_log() as log:
        LOG.info("jwks.unknown_kid", kid=kid)
        (line,) = log.lines()
        assert len(log.bytes()) < 2000
        if not isinstance(kid, str) or len(kid) < 1000:
            assert line["kid"] == kid
