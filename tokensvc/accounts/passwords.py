"""
Which passwords are accepted. Pure, except for reading the list of common passwords once.

Source: NIST SP 800-63B-4 section 3.1.1.2: a minimum length, a block list, no rules of composition.
"""

import gzip
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
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
_YEAR = re.compile(r"(?=((?:19|20)[0-9]{2}))")
"""Years, also those that overlap."""
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
    common, parts = _common_words(), _Parts.of(text)
    if _count(parts, common) < min_count:
        return Reason(
            ReasonCode.TOO_COMMON,
            "The password is common, or consists of common words, sequences or repetitions: add "
            "words that others would not guess.",
        )
    user_words = parts.occurring(_words(user_id))
    if user_words and _count(parts, common, _Words(user_words)) < min_count:
        return Reason(ReasonCode.LIKE_USER_ID, "The password is too similar to the user ID.")
    service = parts.occurring(frozenset[str]().union(*map(_words, service_words)))
    if service and _count(parts, common, _Words(service)) < min_count:
        return Reason(
            ReasonCode.LIKE_SERVICE_NAME, "The password is too similar to the name of the service."
        )
    return None


def _words(name: str) -> frozenset[str]:
    """Return a name and its parts, without those that are too short to be recognized."""
    name = normalize(name).casefold()
    parts = re.split(r"[\W_]+", name)
    return frozenset(word for word in (name, "".join(parts), *parts) if len(word) >= _MIN_WORD)


class _Words:
    """Words, found by their first characters: most positions of a text begin none."""

    def __init__(self, words: frozenset[str]) -> None:
        self._words = words
        lengths: dict[str, set[int]] = {}
        for word in words:
            if _MIN_WORD <= len(word) <= _MAX_WORD:
                lengths.setdefault(word[:_MIN_WORD], set()).add(len(word))
        self._lengths = lengths

    def ends(self, text: str, start: int) -> Iterator[int]:
        """Yield the end of each word that begins at `start`."""
        for length in self._lengths.get(text[start : start + _MIN_WORD], ()):
            word = text[start : start + length]
            if word in self._words:
                yield start + len(word)


@cache
def _common_words() -> _Words:
    return _Words(common_passwords())


@dataclass(frozen=True, slots=True)
class _Parts:
    """
    Parts of a text that do not depend on the words.

    Attributes:
        readings: The text, and the text with each meaning of the look-alike characters.
        copies: End of the longest copy of earlier characters that begins at each position. It may
            overlap the text that it repeats: a repetition of any length is one copy.
        sequences: End of the longest sequence or year that begins at each position.
    """

    readings: frozenset[str]
    copies: list[int]
    sequences: list[int]

    @classmethod
    def of(cls, text: str) -> "_Parts":
        """Return the parts of a text."""
        sequences = _longest(text, lambda start, end: text[start:end] in _SEQUENCES)
        for year in _YEAR.finditer(text):
            sequences[year.start()] = max(sequences[year.start()], year.end(1))
        return cls(
            readings=frozenset([text, *(text.translate(table) for table in _LOOK_ALIKES)]),
            copies=_longest(text, lambda start, end: text.find(text[start:end], 0, end - 1) >= 0),
            sequences=sequences,
        )

    def occurring(self, words: frozenset[str]) -> frozenset[str]:
        """Return the words that occur in the text: without any, the count stays the same."""
        return frozenset(word for word in words if any(word in text for text in self.readings))


def _longest(text: str, is_part: Callable[[int, int], bool]) -> list[int]:
    """
    Return the end of the longest part that begins at each position.

    Args:
        is_part: Whether the text from a start to an end is a part. All that is in a part is one
            too, so the end never moves back and the number of calls is linear.
    """
    ends, end = [], 0
    for start in range(len(text)):
        end = max(end, start)
        while end < len(text) and is_part(start, end + 1):
            end += 1
        ends.append(end)
    return ends


def _count(parts: _Parts, *words: _Words) -> int:
    """
    Return the lowest count of a division of the text into parts, at most `_MIN_COUNT`.

    One scan: a copy or a sequence may end anywhere up to the longest one, so the furthest of these
    ends is enough for each count.
    """
    counts = [0]  # up to each position
    counts += [_MIN_COUNT] * len(parts.copies)
    furthest = [0] * (_MIN_COUNT + _WORD)  # end of a copy or a sequence, for each count
    for end in range(1, len(counts)):
        _add_words(counts, parts.readings, end - 1, words)
        if (start := end - _MIN_COPY) >= 0:
            count = counts[start] + _COPY
            furthest[count] = max(furthest[count], parts.copies[start])
        if (start := end - _MIN_WORD) >= 0:
            count = counts[start] + _SEQUENCE
            furthest[count] = max(furthest[count], parts.sequences[start])
        lowest = min(counts[end], counts[end - 1] + 1)
        counts[end] = next((i for i in range(lowest) if furthest[i] >= end), lowest)
    return counts[-1]


def _add_words(
    counts: list[int], readings: frozenset[str], start: int, words: tuple[_Words, ...]
) -> None:
    """Lower the count at the end of each word and of each year that begins at `start`."""
    count = counts[start]
    if count + _WORD >= _MIN_COUNT:
        return
    for reading in readings:
        for some in words:
            for end in some.ends(reading, start):
                counts[end] = min(counts[end], count + _WORD)
