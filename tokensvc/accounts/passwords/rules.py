"""
Which passwords are accepted. Pure, except for reading the list of common passwords once.

Source: NIST SP 800-63B-4 section 3.1.1.2: a minimum length, a block list, no rules of composition.
"""

import gzip
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import TypeAlias
from urllib.parse import urlsplit

from tokensvc.core.errors import Code, Refusal

MAX_LENGTH = 256
"""Characters of a normalized password."""

_MAX_INPUT = 4 * MAX_LENGTH
"""Characters to normalize: NFKC composes at most four to one, and can take quadratic time."""

_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Cn"})
"""
Control characters, lone surrogates, and unassigned ones: the normal form of a character can change
when a later version of Unicode assigns it.
"""


_SERVICE = "tokensvc"


CheckPassword: TypeAlias = Callable[[str, str], None]
"""`check_new_password` with the settings of the service."""


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
    password: str, *, user_id: str, service_names: Iterable[str], min_length: int
) -> list[Reason]:
    """
    Return why a new password is refused; an empty list if it is accepted.

    Args:
        password: Password as the user sent it.
        user_id: ID of the account.
        service_names: Names of the service, such as its host.
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
    if text.casefold() in common_passwords():
        reasons.append(Reason(ReasonCode.TOO_COMMON, "Many people use this password."))
    if _contains(text, user_id):
        reasons.append(Reason(ReasonCode.LIKE_USER_ID, "The password contains the user ID."))
    if any(_contains(text, name) for name in service_names):
        reasons.append(
            Reason(ReasonCode.LIKE_SERVICE_NAME, "The password contains the name of the service.")
        )
    return reasons


@cache
def common_passwords() -> frozenset[str]:
    """Return the shipped list; its origin and licence are in `common_passwords.NOTICE`."""
    packed = resources.files(__package__).joinpath("common_passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("utf-8").split("\n")[:-1])


def _contains(text: str, name: str) -> bool:
    """Return whether a text contains the words of a name, in their order."""
    words, of_name = (re.findall(r"[^\W_]+", normalize(each).casefold()) for each in (text, name))
    return bool(of_name) and f" {' '.join(of_name)} " in f" {' '.join(words)} "


def check_new_password(min_length: int, public_url: str, password: str, user_id: str) -> None:
    """
    Refuse a new password that is common or not usable.

    Args:
        min_length: Minimum number of characters.
        public_url: URL of the service; a password must not contain its host.

    Raises:
        Refusal: `password_rejected`, with all reasons.
    """
    reasons = check_password(
        password,
        user_id=user_id,
        service_names=(_SERVICE, urlsplit(public_url).hostname or _SERVICE),
        min_length=min_length,
    )
    if reasons:
        raise Refusal(
            Code.PASSWORD_REJECTED,
            " ".join(reason.text for reason in reasons),
            members={"reasons": [reason.code.value for reason in reasons]},
        )
