"""Encryption keys and fingerprints of secrets. Pure."""

import base64
import binascii
import hashlib

_ENCRYPTION_KEY_BYTES = 32


def decoded_encryption_key(text: str) -> bytes:
    """
    Return the bytes of an encryption key. Invalid characters are not skipped.

    Raises:
        ValueError: The key is invalid. The text does not contain it.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raw = b""
    if len(raw) != _ENCRYPTION_KEY_BYTES:
        raise ValueError(
            "is not a Fernet key, 32 random bytes in URL-safe base64: "
            "openssl rand -base64 32 | tr '+/' '-_'"
        )
    return raw


def fingerprint(secret: bytes) -> str:
    """Return a 16-digit hexadecimal fingerprint that does not reveal the secret."""
    return hashlib.sha256(b"tokensvc key fingerprint\x00" + secret).hexdigest()[:16]
