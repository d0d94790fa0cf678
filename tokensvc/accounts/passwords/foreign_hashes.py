"""
Password hashes of this service and of other systems: which ones are supported, and their check.

Supported are argon2 and scrypt as PHC strings, and bcrypt. Ceilings bound the cost of a sign-in,
whatever is imported. This module computes in the calling thread; `hashing.py` owns the threads.
"""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode

import bcrypt

from tokensvc.accounts.passwords.argon2_build import exceptions, low_level
from tokensvc.accounts.passwords.rules import normalize
from tokensvc.core.errors import Code, Refusal

MAX_MEMORY = 256 * 1024
"""KiB of memory for one hash."""
MAX_WORK = 1024 * 1024
"""KiB that one hash writes: memory times passes."""
MAX_PARALLELISM = 16
MIN_BCRYPT_COST, MAX_BCRYPT_COST = 4, 14

_BCRYPT_BYTES = 72
_MAX_TEXT = 512
_NUMBER = r"(0|[1-9][0-9]{0,9})"
_BASE64 = r"([A-Za-z0-9+/]{1,128})"
_ARGON2 = re.compile(
    rf"\$argon2(id|i|d)(?:\$v={_NUMBER})?\$m={_NUMBER},t={_NUMBER},p={_NUMBER}"
    rf"\${_BASE64}\${_BASE64}"
)
_SCRYPT = re.compile(rf"\$scrypt\$ln={_NUMBER},r={_NUMBER},p={_NUMBER}\${_BASE64}\${_BASE64}")
_BCRYPT = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{22}[./A-Za-z0-9]{31}")
# The last character of the salt has two bits, that of the hash four: the others must be zero.
_BCRYPT_CANONICAL = re.compile(r".{28}[.Oeu].{30}[.CGKOSWaeimquy26]")


def check_hash(stored: str) -> None:
    """
    Check that a password hash is supported.

    Raises:
        ValueError: It is not; the text has the reason, and nothing of the hash.
    """
    if len(stored) > _MAX_TEXT:
        raise ValueError(f"a password hash has at most {_MAX_TEXT} characters")
    if stored.startswith("$argon2"):
        _check_argon2(stored)
    elif stored.startswith("$scrypt$"):
        _check_scrypt(stored)
    elif stored.startswith("$2"):
        _check_bcrypt(stored)
    else:
        raise ValueError(
            "the hash must begin with $argon2id$, $argon2i$, $argon2d$, $scrypt$, $2a$, $2b$ or "
            "$2y$; other kinds are not supported"
        )


def verify_hash(stored: str, password: str) -> bool:
    """
    Return whether a password matches a hash that `check_hash` accepts.

    This service hashes the NFKC form. Other systems hash what the user typed, so that is compared
    too, if it differs.

    Raises:
        Refusal: `temporarily_unavailable`: the hash could not be computed, for example without
            memory.
    """
    typed = dict.fromkeys((normalize(password), password))
    return any(_verify(stored, text.encode("utf-8", "surrogatepass")) for text in typed)


def not_computed(error: Exception) -> Refusal:
    """Return the refusal for a hash that could not be computed, for example without memory."""
    return Refusal(
        Code.TEMPORARILY_UNAVAILABLE,
        "The password cannot be checked at the moment. Retry after `Retry-After` seconds.",
        reason=f"hashing: {error}",
        retry_after=2,
    )


def _verify(stored: str, password: bytes) -> bool:
    if argon2 := _ARGON2.fullmatch(stored):
        try:
            return low_level.verify_secret(
                stored.encode("ascii"), password, low_level.Type[argon2[1].upper()]
            )
        except exceptions.VerifyMismatchError:
            return False
        except exceptions.VerificationError as error:
            raise not_computed(error) from error
    if scrypt := _SCRYPT.fullmatch(stored):
        ln, r, p = (int(number) for number in scrypt.groups()[:3])
        expected = _decode("hash", scrypt[5])
        actual = hashlib.scrypt(
            password,
            salt=_decode("salt", scrypt[4]),
            n=1 << ln,
            r=r,
            p=p,
            maxmem=2 * MAX_MEMORY * 1024,
            dklen=len(expected),
        )
        return hmac.compare_digest(actual, expected)
    # The systems that made the hash ignored the rest of a long password.
    return bcrypt.checkpw(password[:_BCRYPT_BYTES], stored.encode("ascii"))


def _check_argon2(stored: str) -> None:
    found = _ARGON2.fullmatch(stored)
    if found is None:
        raise ValueError("argon2: write $argon2id$v=19$m=…,t=…,p=…$salt$hash, without padding")
    version = int(found[2] or 16)
    memory, passes, parallelism = (int(number) for number in found.groups()[2:5])
    if version not in {16, 19}:
        raise ValueError(f"argon2: version {version} is not known, only 16 and 19")
    if not passes or not parallelism or memory < 8 * parallelism:
        raise ValueError("argon2: t and p must be at least 1, and m at least 8 times p")
    _check_cost("argon2", memory, passes, parallelism)
    _check_lengths("argon2", found[6], found[7])


def _check_scrypt(stored: str) -> None:
    found = _SCRYPT.fullmatch(stored)
    if found is None:
        raise ValueError("scrypt: write $scrypt$ln=…,r=…,p=…$salt$hash, without padding")
    ln, r, p = (int(number) for number in found.groups()[:3])
    if not 1 <= ln < 16 * r or not p:
        raise ValueError("scrypt: ln and p must be at least 1, and r more than ln / 16")
    _check_cost("scrypt", r << max(0, min(ln, 32) - 3), p, p)  # 128 bytes * r * 2**ln
    _check_lengths("scrypt", found[4], found[5])


def _check_bcrypt(stored: str) -> None:
    found = _BCRYPT.fullmatch(stored)
    if found is None:
        raise ValueError("bcrypt: write $2b$, two digits, $ and 53 characters")
    if stored.startswith("$2x$"):
        raise ValueError("bcrypt: $2x$ marks hashes of a faulty version, which differ")
    cost = int(found[1])
    if not MIN_BCRYPT_COST <= cost <= MAX_BCRYPT_COST:
        raise ValueError(
            f"bcrypt: the cost must be {MIN_BCRYPT_COST} to {MAX_BCRYPT_COST}, not {cost}"
        )
    if not _BCRYPT_CANONICAL.fullmatch(stored):
        raise ValueError("bcrypt: the last bits of the salt or the hash are not zero")


def _check_cost(scheme: str, memory: int, passes: int, parallelism: int) -> None:
    if memory > MAX_MEMORY:
        raise ValueError(f"{scheme}: {memory} KiB of memory is over the maximum of {MAX_MEMORY}")
    if memory * passes > MAX_WORK:
        raise ValueError(f"{scheme}: {memory} KiB times {passes} is over the maximum of {MAX_WORK}")
    if parallelism > MAX_PARALLELISM:
        raise ValueError(f"{scheme}: p={parallelism} is over the maximum of {MAX_PARALLELISM}")


def _check_lengths(scheme: str, salt: str, digest: str) -> None:
    for name, text, shortest in (("salt", salt, 8), ("hash", digest, 16)):
        length = len(_decode(f"{scheme}: the {name}", text))
        if not shortest <= length <= 64:  # noqa: PLR2004 - as the text says
            raise ValueError(f"{scheme}: the {name} must have {shortest} to 64 bytes, not {length}")


def _decode(name: str, text: str) -> bytes:
    raw = b64decode(text + "=" * (-len(text) % 4)) if len(text) % 4 != 1 else b""
    if b64encode(raw).rstrip(b"=") != text.encode("ascii"):
        raise ValueError(f"{name} is not base64 in its only form")
    return raw
