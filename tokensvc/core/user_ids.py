"""
User IDs: which ones Stream accepts, and the mapping of a provider's subject to one.

Every mapping is injective: two people with one user ID would be an account takeover. Sources:
Stream's "Initialization & Users" (a-z, 0-9, `@`, `_`, `-`), Stream's import schema (at most 255,
capitals allowed).
"""

import base64
import hashlib
import re
from enum import StrEnum

from tokensvc.core.errors import Code, Refusal

MAX_LENGTH = 255

_LEGAL = {
    "documented": re.compile(r"[a-z0-9@_-]{1,255}"),
    "extended": re.compile(r"[A-Za-z0-9@_-]{1,255}"),
}
_UNESCAPED = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789@-")
_ESCAPED_ID = re.compile(r"(?:[a-z0-9@-]|_[0-9a-f]{2})+")


class Alphabet(StrEnum):
    """Characters of a user ID: those that Stream documents, or also `A-Z`."""

    DOCUMENTED = "documented"
    EXTENDED = "extended"

    @property
    def rule(self) -> str:
        """Rule for messages."""
        letters = "a-z" if self is Alphabet.DOCUMENTED else "a-z A-Z"
        return f"1 to {MAX_LENGTH} of {letters} 0-9 @ _ -"


class Mapping(StrEnum):
    """Mapping of the subject of a token to a user ID."""

    EXACT = "exact"
    ESCAPE = "escape"
    HASH = "hash"


def is_legal(user_id: str, alphabet: Alphabet) -> bool:
    """Return whether the ID is legal; `fullmatch`, because `$` accepts a trailing newline."""
    return _LEGAL[alphabet].fullmatch(user_id) is not None


def check(user_id: str, alphabet: Alphabet) -> str:
    """
    Return the ID if it is legal.

    Raises:
        Refusal: `user_id_invalid`, with the rule and what breaks it.
    """
    if not is_legal(user_id, alphabet):
        raise Refusal(
            Code.USER_ID_INVALID, f"{_fault(user_id, alphabet)}{_spelling(user_id, alphabet)}"
        )
    return user_id


def _fault(user_id: str, alphabet: Alphabet) -> str:
    """Return the rule, and the first character that breaks it."""
    rule = f"A user ID is {alphabet.rule}."
    for position, character in enumerate(user_id, start=1):
        if not is_legal(character, alphabet):
            return f"{rule} Character {position} is {character!a}."
    return f"{rule} This one has {len(user_id)} characters."


def _spelling(user_id: str, alphabet: Alphabet) -> str:
    """Return the same ID without spaces around it, or also in small letters, if that is legal."""
    stripped = user_id.strip()
    # Not another alphabet's letters: the small form of the Kelvin sign is an ordinary "k".
    spellings = (stripped, stripped.lower()) if stripped.isascii() else (stripped,)
    legal = [one for one in spellings if is_legal(one, alphabet)]
    return f" {legal[0]!r} is legal, if it is not another user." if legal else ""


def map_subject(
    subject: object, *, mapping: Mapping, prefix: str, issuer: str, alphabet: Alphabet
) -> str:
    """
    Return the user ID of an issuer's subject.

    Args:
        subject: Value of the claim.
        mapping: One of the three injective mappings.
        prefix: Prefix of the mapped subject, not escaped.
        issuer: `iss` of the token, an input of `hash`.
        alphabet: Characters of a legal ID.

    Raises:
        Refusal: `user_id_invalid`; the subject is not a non-empty Unicode string, or has no legal
            ID under this mapping.
    """
    if not isinstance(subject, str) or not subject or not _is_unicode(subject):
        raise Refusal(Code.USER_ID_INVALID, "The claim with the user ID is not a string.")
    if mapping is Mapping.HASH:
        return prefix + _hash(issuer, subject)
    user_id = prefix + (escape(subject) if mapping is Mapping.ESCAPE else subject)
    if is_legal(user_id, alphabet):
        return user_id
    if mapping is Mapping.ESCAPE:
        detail = (
            f"The escaped subject is longer than {MAX_LENGTH} characters: use the hash mapping."
        )
    else:
        detail = (
            f"{_fault(user_id, alphabet)} "
            f"Under user_id_mapping = 'escape' this subject would be {prefix + escape(subject)!r}."
        )
    raise Refusal(Code.USER_ID_INVALID, detail)


def escape(subject: str) -> str:
    """
    Return the subject with each UTF-8 byte outside `a-z 0-9 @ -` as `_` and two hex digits.

    Not idempotent, because `_` is escaped too: otherwise two subjects could share an ID.
    """
    return "".join(
        chr(byte) if byte in _UNESCAPED else f"_{byte:02x}" for byte in subject.encode("utf-8")
    )


def unescape(escaped: str) -> str:
    """
    Return the subject of an escaped text.

    Raises:
        ValueError: The text is not a result of `escape`.
    """
    if not _ESCAPED_ID.fullmatch(escaped):
        raise ValueError("not an escaped subject")
    subject = re.sub(
        rb"_([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), escaped.encode("ascii")
    ).decode("utf-8")
    if escape(subject) != escaped:
        raise ValueError("not an escaped subject")
    return subject


def _hash(issuer: str, subject: str) -> str:
    digest = hashlib.sha256(issuer.encode("utf-8") + b"\x00" + subject.encode("utf-8")).digest()
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def _is_unicode(text: str) -> bool:
    """Return whether the text has no lone surrogate, which JSON can express and UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
