"""
User ids: what Stream accepts, and how a foreign subject becomes one.

A mapping is injective, because two people on one Stream id is an account takeover. Sources:
Stream's "Initialization & Users" (a-z, 0-9, `@`, `_`, `-`), Stream's import schema (255 at most,
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
    """The characters of a user id: those that Stream documents, or also `A-Z`."""

    DOCUMENTED = "documented"
    EXTENDED = "extended"

    @property
    def rule(self) -> str:
        """The rule in words, for messages."""
        letters = "a-z" if self is Alphabet.DOCUMENTED else "a-z A-Z"
        return f"1 to {MAX_LENGTH} of {letters} 0-9 @ _ -"


class Mapping(StrEnum):
    """How the subject of a token becomes a user id."""

    EXACT = "exact"
    ESCAPE = "escape"
    HASH = "hash"


def is_legal(user_id: str, alphabet: Alphabet) -> bool:
    """Tell whether Stream accepts the id; `fullmatch`, since `$` passes a trailing newline."""
    return _LEGAL[alphabet].fullmatch(user_id) is not None


def check(user_id: str, alphabet: Alphabet) -> str:
    """
    Return the id when it is legal.

    Raises:
        Refusal: `user_id_invalid`, with the rule.
    """
    if not is_legal(user_id, alphabet):
        raise Refusal(Code.USER_ID_INVALID, f"A user id is {alphabet.rule}.")
    return user_id


def map_subject(
    subject: object, *, mapping: Mapping, prefix: str, issuer: str, alphabet: Alphabet
) -> str:
    """
    Give the user id of an issuer's subject.

    Args:
        subject: The claim's value, as it came.
        mapping: Which of the three injective mappings.
        prefix: Put before the mapped subject, itself never escaped.
        issuer: The `iss` of the token; part of what `hash` hashes.
        alphabet: The characters of a legal id.

    Raises:
        Refusal: `user_id_invalid`, when the subject is no non-empty Unicode text or has no legal
            id under this mapping.
    """
    if not isinstance(subject, str) or not subject or not _is_unicode(subject):
        raise Refusal(Code.USER_ID_INVALID, "The claim that holds the user id is no text.")
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
            f"A user id is {alphabet.rule}. "
            f"Under user_id_mapping = 'escape' this subject would be {prefix + escape(subject)!r}."
        )
    raise Refusal(Code.USER_ID_INVALID, detail)


def escape(subject: str) -> str:
    """
    Write every byte outside `a-z 0-9 @ -` of the UTF-8 text as `_` and two hex digits.

    Not idempotent, since `_` itself is escaped: were it kept, two subjects could share an id.
    """
    return "".join(
        chr(byte) if byte in _UNESCAPED else f"_{byte:02x}" for byte in subject.encode("utf-8")
    )


def unescape(escaped: str) -> str:
    """
    Undo `escape`.

    Raises:
        ValueError: The text is not something that `escape` gives.
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
    """Tell whether the text has no lone surrogate, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
