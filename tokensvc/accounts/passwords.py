"""
Which passwords are accepted. Pure, except for reading the list of common passwords once.

Source: NIST SP 800-63B-4 section 3.1.1.2: a minimum length, a block list, no rules of composition.
"""

import gzip
import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources

MAX_LENGTH = 256
"""Characters of a normalized password."""

_MAX_INPUT = 4 * MAX_LENGTH
"""Characters to normalize: NFKC composes at most four to one, and can take quadratic time."""

_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn"})
"""
Control characters, lone surrogates, and unassigned ones: the normal form of a character can change
when a later version of Unicode assigns it.
"""

_MIN_COUNT = 9
"""
Characters that a password must have if a common word counts as 3 of them, a sequence or a year as
2, and a copy of earlier characters as 1. So a word with a year and `!!` is refused, and three words
are accepted.
"""
_WORD, _SEQUENCE, _COPY = 3, 2, 1
_MIN_COPY, _MIN_WORD, _MAX_WORD = 3, 4, 32

_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "0123456789012345",
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "!@#$%^&*()",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik",
    "qazwsxedcrfvtgbyhnujmik",
    "1q2w3e4r5t6y7u8i9o0p",
)
_SEQUENCES = "\n".join([*_ROWS, *(row[::-1] for row in _ROWS)])
_YEAR, _YEAR_LENGTH = re.compile(r"(?:19|20)[0-9]{2}"), 4
_LOOK_ALIKES = (str.maketrans("@430$517!", "aaeossiti"), str.maketrans("@430$517!", "aaeosslti"))


class ReasonCode(StrEnum):
    """Machine-readable reason why a password is refused."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    INVALID_CHARACTERS = "invalid_characters"
    TOO_COMMON = "too_common"
    LIKE_USER_ID = "like_user_id"
    LIKE_SERVICE_NAME = "like_service_name"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a password is refused. `text` is for the user and contains nothing of the password."""

    code: ReasonCode
    text: str


def normalize(password: str) -> str:
    """Return the NFKC form; a text that is too long for any password stays as it is."""
    return unicodedata.normalize("NFKC", password) if len(password) <= _MAX_INPUT else password


def check_password(
    password: str, *, user_id: str, service_words: Iterable[str], min_length: int
) -> list[Reason]:
    """
    Return why a new password is refused; an empty list if it is accepted.

    Args:
        password: Password as the user sent it.
        user_id: ID of the account.
        service_words: Names of the app and the service, such as the labels of its host name.
        min_length: Minimum number of characters after normalization.
    """
    text = normalize(password)
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in text):
        return [
            Reason(
                ReasonCode.INVALID_CHARACTERS,
                "The password has control characters or characters of an unknown kind.",
            )
        ]
    if len(text) > MAX_LENGTH:
        return [Reason(ReasonCode.TOO_LONG, f"Use at most {MAX_LENGTH} characters.")]
    reasons = []
    if len(text) < min_length:
        reasons.append(Reason(ReasonCode.TOO_SHORT, f"Use at least {min_length} characters."))
    min_count = min(_MIN_COUNT, min_length, len(text))
    guessable = _guessable(text.casefold(), min_count, user_id, service_words)
    return reasons if guessable is None else [*reasons, guessable]


@cache
def common_passwords() -> frozenset[str]:
    """Return the shipped list; its origin and licence are in `common_passwords.NOTICE`."""
    packed = resources.files(__package__).joinpath("common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("utf-8").split("\n")[:-1])


def _guessable(
    text: str, min_count: int, user_id: str, service_words: Iterable[str]
) -> Reason | None:
    """Return the first kind of words that makes the text easy to guess."""
    common = common_passwords()
    if _count(text, common) < min_count:
        return Reason(
            ReasonCode.TOO_COMMON,
            "The password is common, or consists of common words, sequences or repetitions: add "
            "words that others would not guess.",
        )
    if _count(text, common | _words(user_id)) < min_count:
        return Reason(ReasonCode.LIKE_USER_ID, "The password is too similar to the user ID.")
    if _count(text, common.union(*map(_words, service_words))) < min_count:
        return Reason(
            ReasonCode.LIKE_SERVICE_NAME, "The password is too similar to the name of the service."
        )
    return None


def _words(name: str) -> frozenset[str]:
    """Return a name and its parts, without those that are too short to be recognized."""
    name = normalize(name).casefold()
    parts = re.split(r"[\W_]+", name)
    return frozenset(word for word in (name, "".join(parts), *parts) if len(word) >= _MIN_WORD)


def _count(text: str, words: frozenset[str]) -> int:
    """Return the lowest count of a division of the text into parts, at most `_MIN_COUNT`."""
    readings = (text, *(text.translate(table) for table in _LOOK_ALIKES))
    counts = list(range(len(text) + 1))  # up to each position
    for start in range(len(text)):
        if min(counts[start:]) >= _MIN_COUNT:
            break
        counts[start + 1] = min(counts[start + 1], counts[start] + 1)
        for end, count in _parts(readings, start, words):
            counts[end] = min(counts[end], counts[start] + count)
    return min(counts[-1], _MIN_COUNT)


def _parts(
    readings: tuple[str, ...], start: int, words: frozenset[str]
) -> Iterator[tuple[int, int]]:
    """Yield the end and the count of each copy, year, sequence and word that begins at `start`."""
    text = readings[0]
    # A copy may overlap the text that it repeats: a repetition of any length is one copy.
    ends = range(start + _MIN_COPY, len(text) + 1)
    copies = bisect_left(ends, True, key=lambda end: text.find(text[start:end]) == start)
    yield from ((end, _COPY) for end in ends[:copies])
    if _YEAR.match(text, start):
        yield start + _YEAR_LENGTH, _SEQUENCE
    for end in range(start + _MIN_WORD, min(start + _MAX_WORD, len(text)) + 1):
        if text[start:end] in _SEQUENCES:
            yield end, _SEQUENCE
        elif any(reading[start:end] in words for reading in readings):
            yield end, _WORD
