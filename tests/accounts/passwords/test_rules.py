"""Which passwords are accepted, and the reasons why others are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.accounts.passwords.rules import (
    MAX_LENGTH,
    ReasonCode,
    check_password,
    common_passwords,
    normalize,
)

GOOD = "vR8#kQ2m!zL0pWx"


def reasons(password, *, user_id="ada", service_names=("tokensvc", "chat.example"), min_length=15):
    return [
        reason.code
        for reason in check_password(
            password, user_id=user_id, service_names=service_names, min_length=min_length
        )
    ]


@pytest.mark.sec(39)
@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "correct horse battery staple",
        "my dog eats 17 shoes",
        "839201746152830",
        "Ünïcödé ist Käse",
        "密码是一匹正确的马电池订书钉的",
        "👩‍👩‍👧‍👦🐈🥐🚲🌧🎹🧀🪁🎺",
        GOOD * (MAX_LENGTH // len(GOOD)),
        "the monkey and the dragon saw " * 8,
        "again and again " * 16,
        "madam meets adam at chat",
    ],
)
def test_long_password_is_accepted_whatever_it_consists_of(password):
    """NIST SP 800-63B-4 3.1.1.2 compares the whole text, and knows no rules of composition."""
    for user_id in ("ada", "--"):
        assert reasons(password, user_id=user_id) == []


@pytest.mark.sec(40)
@pytest.mark.parametrize(
    "password",
    [
        "superman",
        "SuperMan",
        "\uff53\uff55\uff50\uff45\uff52\uff4d\uff41\uff4e",  # full-width letters
    ],
)
def test_common_password_is_refused_in_every_form(password):
    assert reasons(password, min_length=8) == [ReasonCode.TOO_COMMON]
    assert reasons(f"{password}.", min_length=8) == []


@pytest.mark.sec(40)
@pytest.mark.parametrize(
    ("user_id", "password"),
    [
        ("ada", "my name is Ada, hello"),
        ("app-ozymandias", "!!App_Ozymandias!!2024"),
        ("xu-wei-li", "xu wei li and the dog"),
        ("ada@example", "ada@example.org.2026"),
        ("straße", "die lange STRASSE entlang"),
    ],
)
def test_password_with_the_user_id_as_words_is_refused(user_id, password):
    assert reasons(password, user_id="another-user") == []
    assert reasons(password, user_id=user_id) == [ReasonCode.LIKE_USER_ID]


@pytest.mark.sec(40)
@pytest.mark.parametrize(
    "password", ["tokensvc tokensvc", "https://chat.example/", "1 Tokensvc 2026!"]
)
def test_password_with_the_service_name_as_words_is_refused(password):
    assert reasons(password, service_names=()) == []
    assert reasons(password) == [ReasonCode.LIKE_SERVICE_NAME]


@pytest.mark.sec(39)
def test_length_is_counted_in_characters_after_normalization():
    """`\u0065\u0301` is typed as two characters on some keyboards, and as one on others."""
    composed, decomposed = "é", "e\u0301"
    for form in (composed, decomposed):
        assert reasons(GOOD[:13] + form) == [ReasonCode.TOO_SHORT]
        assert reasons(GOOD[:14] + form) == []
    filler = GOOD * 18
    assert reasons(filler[: MAX_LENGTH - 1] + decomposed) == []
    assert reasons(filler[:MAX_LENGTH] + decomposed) == [ReasonCode.TOO_LONG]


def test_short_common_password_gets_both_reasons():
    assert reasons("password") == [ReasonCode.TOO_SHORT, ReasonCode.TOO_COMMON]


def test_minimum_of_the_settings_applies():
    assert reasons("vR8#kQ2", min_length=8) == [ReasonCode.TOO_SHORT]
    assert reasons("vR8#kQ2m", min_length=8) == []


def test_very_long_password_is_refused_without_normalization():
    """Normalizing many combining marks takes quadratic time."""
    text = "a" + "\u0301\u0316" * 500_000
    assert reasons(text) == [ReasonCode.TOO_LONG]
    assert normalize(text) is text


@pytest.mark.parametrize("character", ["\x00", "\n", "\x7f", "\ud800", "\udfff", "\u0378"])
def test_invalid_character_is_refused(character):
    """NUL, other control characters, lone surrogates, and one that is not assigned."""
    assert reasons(GOOD + character) == [ReasonCode.INVALID_CHARACTERS]


@given(st.text(max_size=300), st.text(max_size=30), st.integers(8, 64))
def test_any_text_is_checked_without_error(password, user_id, min_length):
    found = check_password(
        password, user_id=user_id, service_names=[user_id], min_length=min_length
    )
    if not found:
        assert min_length <= len(normalize(password)) <= MAX_LENGTH
        normalize(password).encode("utf-8")


@given(st.text(max_size=40))
def test_decision_is_the_same_for_every_form_of_the_text(password):
    assert reasons(password) == reasons(normalize(password))


@pytest.mark.sec(40)
def test_list_of_common_passwords_has_ten_thousand_entries():
    assert len(common_passwords()) == 10_000
    assert all(word == normalize(word).casefold() for word in common_passwords())


@pytest.mark.parametrize("password", ["letmein", "vR8#", "vR8#kQ2m!zL0pWx\x00", "x" * 300])
def test_text_of_a_reason_does_not_contain_the_password(password):
    found = check_password(password, user_id="ada", service_names=(), min_length=15)
    assert found
    assert all(password not in reason.text for reason in found)
