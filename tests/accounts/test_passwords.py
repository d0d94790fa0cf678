"""Which passwords are accepted, and the reasons why others are refused."""

import random
import re
import string
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokensvc.accounts.passwords import (
    MAX_LENGTH,
    ReasonCode,
    check_password,
    common_passwords,
    normalize,
)

LONG_SEQUENCES = (string.ascii_lowercase, "0123456789012345", "qwertyuiop", "1qaz2wsx3edc4rfv")
LOOK_ALIKES = (str.maketrans("@430$517!", "aaeossiti"), str.maketrans("@430$517!", "aaeosslti"))
GOOD = "vR8#kQ2m!zL0pWx"


def reasons(password, *, user_id="ada", service_words=("tokensvc", "chat.example"), min_length=15):
    return [
        reason.code
        for reason in check_password(
            password, user_id=user_id, service_words=service_words, min_length=min_length
        )
    ]


@pytest.mark.sec(39)
@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "correct horse battery staple",
        "horsebatterystaple",
        "my dog eats 17 shoes",
        "839201746152830",
        "dragon8392017461",
        "Ünïcödé ist Käse",
        "密码是一匹正确的马电池订书钉的",
        "👩‍👩‍👧‍👦🐈🥐🚲🌧🎹🧀🪁🎺",
        GOOD * (MAX_LENGTH // len(GOOD)),
    ],
)
def test_password_that_is_hard_to_guess_is_accepted(password):
    """No rules of composition: a long phrase of lowercase letters is accepted."""
    assert reasons(password) == []


@pytest.mark.sec(40)
@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password!Password!",
        "5up3rm4n!5up3rm4n",
        "password12345678",
        "password2024!!!!",
        "Password!2024!!",
        "iloveyoupassword",
        "dragon dragon dragon",
        "monkey123monkey123",
        "letmeinletmein1",
        "123456789012345",
        "987654321098765",
        "qwertyuiopasdfghjkl",
        "tsrqponmlkjihgfe",
        "1qaz2wsx3edc4rfv",
        "abcabcabcabcabc",
        "aaaaaaaaaaaaaaaa",
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44" * 2,  # full-width letters
        "a" * MAX_LENGTH,
        "qwerty" * 42,
    ],
)
def test_common_words_sequences_and_repetitions_are_refused(password):
    assert reasons(password) == [ReasonCode.TOO_COMMON]


@pytest.mark.sec(40)
@pytest.mark.parametrize(
    ("user_id", "password"),
    [
        ("margaret_thatcher", "MargaretThatcher"),
        ("margaret_thatcher", "margaret_thatcher1!"),
        ("app-ozymandias", "ozymandias2024!"),
        ("xu-wei-li", "xuweili.xuweili"),
        ("ada@ozymandias", "!!ozymandias!!ozymandias"),
    ],
)
def test_password_made_of_the_user_id_is_refused(user_id, password):
    assert reasons(password) == []
    assert reasons(password, user_id=user_id) == [ReasonCode.LIKE_USER_ID]


def test_password_that_only_contains_the_user_id_is_accepted():
    assert reasons("ozymandias eats 17 shoes", user_id="ozymandias") == []


@pytest.mark.sec(40)
@pytest.mark.parametrize("password", ["tokensvctokensvc", "chatexample12345", "Tokensvc!2026!!"])
def test_password_made_of_the_service_name_is_refused(password):
    assert reasons(password, service_words=()) == []
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
    assert reasons("superman", min_length=8) == [ReasonCode.TOO_COMMON]


def test_very_long_password_is_refused_without_normalization():
    """Normalizing many combining marks takes quadratic time."""
    text = "a" + "\u0301\u0316" * 500_000
    assert reasons(text) == [ReasonCode.TOO_LONG]
    assert normalize(text) is text


@pytest.mark.parametrize("character", ["\x00", "\n", "\x7f", "\ud800", "\udfff", "\u0378"])
def test_invalid_character_is_refused(character):
    """NUL, other control characters, lone surrogates, and one that is not assigned."""
    assert reasons(GOOD + character) == [ReasonCode.INVALID_CHARACTERS]


def test_random_password_of_eight_characters_is_rarely_refused():
    """The check is a block list and not an estimate of strength."""
    generator = random.Random(1)
    alphabet = string.ascii_letters + string.digits
    made = ["".join(generator.choices(alphabet, k=8)) for _ in range(1000)]
    assert sum(bool(reasons(password, min_length=8)) for password in made) < 20


@given(st.text(max_size=300), st.text(max_size=30), st.integers(8, 64))
def test_any_text_is_checked_without_error(password, user_id, min_length):
    found = check_password(
        password, user_id=user_id, service_words=[user_id], min_length=min_length
    )
    if not found:
        assert min_length <= len(normalize(password)) <= MAX_LENGTH
        normalize(password).encode("utf-8")


@given(st.text(max_size=40))
def test_decision_is_the_same_for_every_form_of_the_text(password):
    assert reasons(password) == reasons(normalize(password))


@settings(max_examples=40)
@given(st.sampled_from(sorted(common_passwords())), st.integers(1, 40))
def test_common_password_and_its_repetitions_are_refused(word, times):
    assert ReasonCode.TOO_COMMON in reasons((word * times).upper()[:MAX_LENGTH], min_length=8)


@pytest.mark.sec(40)
def test_list_of_common_passwords_has_ten_thousand_entries():
    assert len(common_passwords()) == 10_000
    assert all(word == normalize(word).casefold() for word in common_passwords())


@pytest.mark.parametrize("password", ["letmein", "vR8#", "vR8#kQ2m!zL0pWx\x00", "x" * 300])
def test_text_of_a_reason_does_not_contain_the_password(password):
    found = check_password(password, user_id="ada", service_words=(), min_length=15)
    assert found
    assert all(password not in reason.text for reason in found)


def test_count_is_the_lowest_of_all_divisions_into_parts():
    """The check scans once. This compares it with a search of all parts, on a sample."""
    generator, words = random.Random(2), sorted(common_passwords())
    results = set()
    for _ in range(200):
        text = sample(generator, words)
        is_refused = ReasonCode.TOO_COMMON in reasons(text, min_length=8, service_words=())
        assert is_refused == (lowest_count(text) < min(8, len(text))), text
        results.add(is_refused)
    assert results == {True, False}


def sample(generator, words):
    """Return a text of words, sequences, years, other characters and copies."""
    text = ""
    while len(text) < generator.choice([8, 16, 40]):
        position = generator.randrange(len(text) + 1)
        other = "".join(generator.choices("ab1@$!" + string.ascii_lowercase, k=2))
        copy = text[position : position + generator.randint(1, 12)]
        sequence = generator.choice(LONG_SEQUENCES)[:: generator.choice([1, -1])]
        text += generator.choice(
            [generator.choice(words), sequence[position : position + 6], "1999", other, copy, copy]
        )
    return text


def lowest_count(text):
    """Return the lowest count, from the definition: each part of the text is looked at."""
    counts = list(range(len(text) + 1))
    for start in range(len(text)):
        counts[start + 1] = min(counts[start + 1], counts[start] + 1)
        for end in range(start + 3, len(text) + 1):
            counts[end] = min(counts[end], counts[start] + part_count(text, start, end))
    return counts[-1]


def part_count(text, start, end):
    part, readings = text[start:end], (text, *map(text.translate, LOOK_ALIKES))
    if part in text[: end - 1]:
        return 1
    is_sequence = any(part in row or part in row[::-1] for row in LONG_SEQUENCES)
    if re.fullmatch("(19|20)[0-9]{2}", part) or (len(part) >= 4 and is_sequence):
        return 2
    is_word = any(reading[start:end] in common_passwords() for reading in readings)
    return 3 if is_word else len(part)


@pytest.mark.sec(40)
@pytest.mark.parametrize("unit", ["a", "mari", "p@55", "12345678", "ozymandias"])
def test_work_grows_linearly_with_the_length(unit):
    """A new password is checked before the limit on sign-ups, so it must not cost CPU time."""
    shorter, longer = (lines_run((unit * length)[:length] + GOOD) for length in (100, 200))
    assert longer < 2.5 * shorter


def lines_run(password):
    """Return how many lines of Python run to check a password."""
    count = 0

    def trace(_frame, event, _argument):
        nonlocal count
        count += event == "line"
        return trace

    reasons(password)  # reads the list
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        reasons(password, user_id="ozymandias")
    finally:
        sys.settrace(before)
    return count
