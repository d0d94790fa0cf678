"""A token is explained: which key signed it, and each reason for which it would be refused."""

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_chat import StreamChat

from tokensvc.keys.rules import KeyState, StreamKey, StreamKeyRing, fingerprint
from tokensvc.standing.rules import Standing
from tokensvc.tokens.inspection import explain, parse

NOW = 1_800_000_000
SECRET = "a-stream-secret-of-more-than-32-bytes-for-john"
OTHER_SECRET = "another-stream-secret-of-more-than-32-bytes"
ACTIVE = StreamKey("k2", SECRET.encode(), KeyState.ACTIVE)
RETIRING = StreamKey("k1", OTHER_SECRET.encode(), KeyState.RETIRING)
CLEAN = Standing(now=NOW, suspended=False, tokens_valid_after=None, floor=0, ring_version=1)
CUT_OFF = NOW - 60
REVOKED = Standing(
    now=NOW, suspended=False, tokens_valid_after=CUT_OFF, floor=CUT_OFF, ring_version=1
)
SUSPENDED = Standing(now=NOW, suspended=True, tokens_valid_after=None, floor=0, ring_version=1)


def signed(secret=SECRET, **claims):
    return jwt.encode(claims, secret, algorithm="HS256")


def inspect(token, standing=CLEAN, keys=(ACTIVE,)):
    return explain(parse(token), StreamKeyRing(1, keys), standing)


def test_a_good_token_has_no_fault():
    """Whose, when and by which key is told of a token that Stream accepts."""
    found = inspect(signed(user_id="john", iat=NOW - 5, exp=NOW + 60))
    assert found.faults == ()
    assert (found.user_id, found.issued_at, found.expires_at) == ("john", NOW - 5, NOW + 60)
    assert (found.api_key, found.key_state) == ("k2", "active")
    assert found.fingerprint == fingerprint(SECRET.encode())


def test_the_key_that_signed_is_found_among_several():
    """A key that is not the active one is told with its state."""
    found = inspect(StreamChat("k1", OTHER_SECRET).create_token("john"), keys=(ACTIVE, RETIRING))
    assert (found.api_key, found.key_state, found.faults) == ("k1", "retiring", ())


@pytest.mark.parametrize(
    ("token", "standing", "fault"),
    [
        (signed(user_id="john", iat=NOW - 9, exp=NOW), CLEAN, "expired 0 s ago (code 40)"),
        (signed(user_id="john", iat=NOW + 3), CLEAN, "3 s ahead of this machine's clock (code 42)"),
        (signed(OTHER_SECRET, user_id="john", iat=NOW), CLEAN, "(code 43)"),
        (signed(server=True), CLEAN, "admin token"),
        (signed(user_id=""), CLEAN, "admin token"),
        (signed(user_id=7), CLEAN, "admin token"),
        (signed(user_id="john", iat=CUT_OFF - 1), REVOKED, "before a revocation (code 40)"),
        (signed(user_id="john"), REVOKED, "before a revocation (code 40)"),
        (signed(user_id="john", iat=NOW), SUSPENDED, "suspended"),
    ],
)
def test_each_fault_is_told(token, standing, fault):
    """One fault is told, with Stream's code where Stream would find it."""
    (told,) = inspect(token, standing).faults
    assert fault in told


def test_every_fault_is_told_at_once():
    """A token with several faults has them all told."""
    token = signed(OTHER_SECRET, user_id="john", iat=CUT_OFF - 9, exp=CUT_OFF)
    assert len(inspect(token, REVOKED).faults) == 3


def test_a_token_of_the_very_second_of_the_cut_off_is_good():
    """Stream compares `iat` with the cut-off strictly; so does this."""
    assert inspect(signed(user_id="john", iat=CUT_OFF), REVOKED).faults == ()


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (signed(user_id="john", exp=NOW + 0.5), "code 5"),
        (signed(user_id="john", iat="yesterday"), "code 5"),
        (signed(user_id="john", iat=True), "code 5"),
        (signed(user_id="john", exp=2**63), "code 5"),
        ("e30.e30.", "no token of Stream's"),
        ("eyJhbGciOiJub25lIn0.e30.", "doctor --token"),
        ("eyJhbGciOiJIUzI1NiJ9.W10.AA", "no JSON objects"),
        ("eyJhbGciOiJIUzI1NiJ9.e30.AAAAA", "base64url"),
        ("", "no token"),
        ("hello", "no token"),
        ("e30.e30.e30\n", "no token"),
        ("a." * 9000, "no token"),
    ],
)
def test_what_is_no_stream_token_is_told_apart(token, told):
    """What Stream could not read is refused with what it is instead."""
    with pytest.raises(ValueError, match=told):
        parse(token)


@pytest.mark.sec(25)
def test_neither_token_nor_secret_is_in_what_is_told():
    """No `repr` and no fault repeats the token, its signature or the secret."""
    token = signed(user_id="john", iat=NOW, exp=NOW - 1)
    told = repr((parse(token), inspect(token)))
    assert SECRET not in told
    assert not any(part in told for part in token.split(".")[1:])


@given(st.text(max_size=80))
def test_any_text_is_explained_or_refused(text):
    """Whatever is pasted, there is an answer."""
    try:
        parse(text)
    except ValueError as error:
        assert "this is no token" in str(error)
