"""A token is explained: the key that signed it, and each reason for a refusal."""

from dataclasses import replace

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_chat import StreamChat

from tokensvc.standing.rules import RingVersion, Standing
from tokensvc.stream.keys.rules import StreamKey, StreamKeyRing
from tokensvc.stream.keys.states import KeyState
from tokensvc.tokens.inspection import explain, parse
from tokensvc.vault.rules import fingerprint

NOW = 1_800_000_000
RING_VERSION = RingVersion(1, "a")
SECRET = "a-stream-secret-of-more-than-32-bytes-for-john"
OTHER_SECRET = "another-stream-secret-of-more-than-32-bytes"
ACTIVE = StreamKey("k2", SECRET.encode(), KeyState.ACTIVE)
RETIRING = StreamKey("k1", OTHER_SECRET.encode(), KeyState.RETIRING)
CLEAN = Standing(
    now=NOW, suspended=False, tokens_valid_after=None, floor=0, ring_version=RING_VERSION
)
CUT_OFF = NOW - 60
REVOKED = Standing(
    now=NOW, suspended=False, tokens_valid_after=CUT_OFF, floor=CUT_OFF, ring_version=RING_VERSION
)
SUSPENDED = Standing(
    now=NOW, suspended=True, tokens_valid_after=None, floor=0, ring_version=RING_VERSION
)


def signed(secret=SECRET, **claims):
    return jwt.encode(claims, secret, algorithm="HS256")


def inspect(token, standing=CLEAN, keys=(ACTIVE,)):
    return explain(parse(token), StreamKeyRing(RING_VERSION, keys), standing)


def test_valid_token_has_no_fault():
    """User, times and key are reported."""
    found = inspect(signed(user_id="john", iat=NOW - 5, exp=NOW + 60))
    assert found.faults == ()
    assert (found.user_id, found.issued_at, found.expires_at) == ("john", NOW - 5, NOW + 60)
    assert (found.api_key, found.key_state) == ("k2", "active")
    assert found.fingerprint == fingerprint(SECRET.encode())


def test_signing_key_is_found_among_several():
    found = inspect(StreamChat("k1", OTHER_SECRET).create_token("john"), keys=(ACTIVE, RETIRING))
    assert (found.api_key, found.key_state, found.faults) == ("k1", "retiring", ())


@pytest.mark.parametrize(
    ("token", "standing", "fault"),
    [
        (signed(user_id="john", iat=NOW - 9, exp=NOW), CLEAN, "expired 0 s ago (code 40)"),
        (signed(user_id="john", iat=NOW + 3), CLEAN, "3 s in the future (code 42)"),
        (signed(OTHER_SECRET, user_id="john", iat=NOW), CLEAN, "(code 43)"),
        (signed(server=True), CLEAN, "admin token"),
        (signed(user_id=""), CLEAN, "admin token"),
        (signed(user_id=7), CLEAN, "admin token"),
        (signed(user_id="john", iat=CUT_OFF - 1), REVOKED, "before a revocation (code 40)"),
        (signed(user_id="john"), REVOKED, "before a revocation (code 40)"),
        (signed(user_id="john", iat=NOW), SUSPENDED, "suspended"),
        (signed(user_id="john", iat=NOW), replace(SUSPENDED, erased=True), "erased"),
    ],
)
def test_fault_is_reported_with_streams_code(token, standing, fault):
    (found,) = inspect(token, standing).faults
    assert fault in found.text


def test_all_faults_are_reported_together():
    token = signed(OTHER_SECRET, user_id="john", iat=CUT_OFF - 9, exp=CUT_OFF)
    assert len(inspect(token, REVOKED).faults) == 3


def test_token_issued_in_the_second_of_the_cut_off_is_valid():
    """Stream refuses only an `iat` before the cut-off."""
    assert inspect(signed(user_id="john", iat=CUT_OFF), REVOKED).faults == ()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (signed(user_id="john", exp=NOW + 0.5), "code 5"),
        (signed(user_id="john", iat="yesterday"), "code 5"),
        (signed(user_id="john", iat=True), "code 5"),
        (signed(user_id="john", exp=2**63), "code 5"),
        ("e30.e30.", "not a Stream token"),
        (signed(iss="https://id.example", sub="john"), "names an issuer"),
        ("eyJhbGciOiJub25lIn0.e30.", "doctor --token"),
        ("eyJhbGciOiJIUzI1NiJ9.W10.AA", "not JSON objects"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.AAAAA", "base64url"),
        ("", "not a token"),
        ("hello", "not a token"),
        ("e30.e30.e30\n", "not a token"),
        ("a." * 9000, "not a token"),
    ],
)
def test_invalid_token_is_refused_with_the_reason(token, reason):
    with pytest.raises(ValueError, match=reason):
        parse(token)


@pytest.mark.sec(25)
def test_findings_contain_neither_token_nor_secret():
    token = signed(user_id="john", iat=NOW, exp=NOW - 1)
    shown = repr((parse(token), inspect(token)))
    assert SECRET not in shown
    assert not any(part in shown for part in token.split(".")[1:])


@given(st.text(max_size=80))
def test_any_text_is_explained_or_refused(text):
    try:
        parse(text)
    except ValueError as error:
        assert "This is not a" in str(error)
