"""Untrusted text cannot forge, hide or lose a log line."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testing.logs import caught_log
from tests.security.log_sinks import LOG, SINKS, as_bytes, as_warning

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
