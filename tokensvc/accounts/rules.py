"""Rules of accounts: user IDs, codes, and how recent a sign-in must be. Pure functions."""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from enum import StrEnum

from tokensvc.core import user_ids
from tokensvc.core.errors import Code, Refusal
from tokensvc.core.stream_user import letters_of
from tokensvc.core.user_ids import Alphabet

CODE_BYTES = 16
"""Random bytes of a code."""
RESET_CODE_TTL = 600
"""Seconds for which a reset code is valid."""
RECENT_SIGN_IN = 300
"""Seconds after a sign-in during which its user can delete the account."""


class CodeKind(StrEnum):
    """What a code permits."""

    INVITATION = "invitation"
    RESET = "reset"


_CODE_PREFIXES = {CodeKind.INVITATION: "tsi_", CodeKind.RESET: "tsp_"}
"""By these prefixes scanners, and the redaction of log lines, find leaked codes."""


def make_code(kind: CodeKind, random_bytes: bytes) -> str:
    """Return a code: prefix and base64url of `CODE_BYTES` random bytes."""
    return _CODE_PREFIXES[kind] + urlsafe_b64encode(random_bytes).rstrip(b"=").decode("ascii")


def hash_code(code: str) -> str:
    """
    Return the hexadecimal SHA-256 of a code, which the database contains.

    A code has 128 random bits, so no slow hash is needed.
    """
    return hashlib.sha256(code.encode("utf-8")).hexdigest()


def check_user_id(user_id: str, prefix: str, alphabet: Alphabet) -> None:
    """
    Refuse a user ID that no account can have.

    Args:
        prefix: Prefix of the ID of every account.

    Raises:
        Refusal: `user_id_invalid`, with the rule.
    """
    user_ids.check(user_id, alphabet)
    if not user_id.startswith(prefix) or user_id == prefix:
        raise Refusal(
            Code.USER_ID_INVALID,
            f"The ID of an account begins with {prefix} and has more characters after it.",
        )


def check_not_reserved(user_id: str, prefix: str, reserved: Iterable[str]) -> None:
    """
    Refuse a user ID that looks like one of the app's own, as a user's own choice.

    Args:
        prefix: Prefix of the ID of every account.
        reserved: Reserved IDs without the prefix.

    Raises:
        Refusal: `user_id_invalid`.
    """
    if letters_of(user_id.removeprefix(prefix)) in map(letters_of, reserved):
        raise Refusal(Code.USER_ID_INVALID, "This user ID is reserved. Choose another one.")


def check_recent_sign_in(signed_in_at: int, now: float) -> None:
    """
    Refuse an action for which the user must have signed in a short time ago.

    An access token, which may be stolen, does not prove that its user is present.

    Args:
        signed_in_at: Time of the sign-in, in epoch seconds. A refresh does not change it.

    Raises:
        Refusal: `sign_in_required`.
    """
    threshold = int(now) - RECENT_SIGN_IN
    if signed_in_at < threshold:
        raise Refusal(
            Code.SIGN_IN_REQUIRED,
            f"This needs a sign-in of the last {RECENT_SIGN_IN} s: sign the user in again, then "
            "retry.",
            members={"sign_in_after": threshold},
            max_age=RECENT_SIGN_IN,
        )
