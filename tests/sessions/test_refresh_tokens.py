"""The text of a refresh token: one form, junk refused without a key, origin proven with it."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.sessions import refresh_tokens
from tokensvc.sessions.refresh_tokens import FAMILY_ID_BYTES, FAMILY_KEY_BYTES, PREFIX

IDS = st.binary(min_size=FAMILY_ID_BYTES, max_size=FAMILY_ID_BYTES)
KEYS = st.binary(min_size=FAMILY_KEY_BYTES, max_size=FAMILY_KEY_BYTES)
COUNTERS = st.integers(0, 2**48 - 1)
BASE64URL = string.ascii_letters + string.digits + "-_"

FAMILY_ID = bytes(range(16))
KEY = bytes(range(32))
TOKEN = "tsr_AAECAwQFBgcICQoLDA0ODwAAAAAAB2BEq3EafVAzKIZJ596h3OOlQ5Vu"


@given(IDS, COUNTERS, KEYS)
def test_made_token_is_parsed_and_verified(family_id, counter, key):
    presented = refresh_tokens.parse(refresh_tokens.make(family_id, counter, key))
    assert (presented.family_id, presented.counter) == (family_id, counter)
    assert refresh_tokens.verify(presented, key)


def test_text_of_a_token_never_changes():
    """Clients keep tokens for months, over releases of the service."""
    assert refresh_tokens.make(FAMILY_ID, 7, KEY) == TOKEN


@given(st.integers(0, len(TOKEN) - 1), st.sampled_from(BASE64URL))
def test_token_with_one_other_character_is_refused_by_its_checksum(position, character):
    """So each token has exactly one text, and a typing error does not reach the database."""
    changed = TOKEN[:position] + character + TOKEN[position + 1 :]
    assert (refresh_tokens.parse(changed) is None) == (changed != TOKEN)


@given(st.text(alphabet=BASE64URL, min_size=56, max_size=56))
def test_random_text_of_the_right_form_is_refused(body):
    assert refresh_tokens.parse(PREFIX + body) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        TOKEN[:-1],
        TOKEN + "A",
        TOKEN + "=",
        TOKEN + "\n",
        " " + TOKEN,
        TOKEN.removeprefix(PREFIX),
        TOKEN.replace("tsr_", "TSR_"),
        TOKEN.replace("tsr_", "tks_"),
        TOKEN.replace("A", "\uff21"),
        "A" * 1_000_000,
    ],
)
def test_other_form_is_refused(text):
    assert refresh_tokens.parse(text) is None


@given(st.text())
def test_any_text_is_parsed_without_error(text):
    assert refresh_tokens.parse(text) is None


@given(IDS, COUNTERS, KEYS, KEYS)
def test_token_of_another_key_is_not_verified(family_id, counter, key, other_key):
    """Anyone can compute the checksum; only the service knows the key."""
    presented = refresh_tokens.parse(refresh_tokens.make(family_id, counter, key))
    assert refresh_tokens.verify(presented, other_key) == (key == other_key)


@given(IDS, IDS, COUNTERS, COUNTERS, KEYS)
def test_mac_proves_family_and_counter(family_id, other_id, counter, other_counter, key):
    presented = refresh_tokens.parse(refresh_tokens.make(family_id, counter, key))
    moved = refresh_tokens.PresentedToken(other_id, other_counter, presented.mac)
    is_same = (other_id, other_counter) == (family_id, counter)
    assert refresh_tokens.verify(moved, key) == is_same


def test_representation_does_not_contain_the_mac():
    presented = refresh_tokens.parse(TOKEN)
    assert "mac" not in repr(presented)
