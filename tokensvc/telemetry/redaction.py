"""
Redaction of secrets in log lines.

Three methods, because each one has gaps: fields by their names, tokens and credentials by their
shape, and secrets of the settings by their value (`register_secrets`). Control characters and those
that reorder text are escaped, so that untrusted text cannot forge or hide a line on a terminal.
"""

import functools
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"
MIN_SECRET_LENGTH: Final = 8
"""Characters. Shorter values would match ordinary words."""
_MAX_TEXT: Final = 1024
_MAX_DEPTH: Final = 4
_MAX_ITEMS: Final = 50

_SECRET_NAME = re.compile(
    r"(?:.*[^a-z])?(?:authorization|cookie|credentials|passw(?:or)?d|passphrase|secret|token"
    r"|assertion|(?:private|encryption)_?keys?)s?",
    re.IGNORECASE,
)
_SHAPES = (
    # A JWT begins with the base64url of `{"`. Everything after a dot belongs to it.
    (b"eyj", re.compile(rb"eyJ[\w-]{4,}(?:\.[\w-]*)*"), b"[redacted]"),
    (b"tks_", re.compile(rb"tks_[\w-]+"), b"tks_[redacted]"),
    (b"tsr_", re.compile(rb"tsr_[\w-]+"), b"tsr_[redacted]"),
    (b"tsi_", re.compile(rb"tsi_[\w-]+"), b"tsi_[redacted]"),
    (b"tsp_", re.compile(rb"tsp_[\w-]+"), b"tsp_[redacted]"),
    (
        b"bearer",
        re.compile(rb"(bearer)(?:\s|%20|\+)+[\w.~+/=-]{12,}", re.IGNORECASE),
        rb"\1 [redacted]",
    ),
    (
        b"basic",
        re.compile(rb"(basic)(?:\s|%20|\+)+[\w.~+/=-]{12,}", re.IGNORECASE),
        rb"\1 [redacted]",
    ),
    (
        b"authorization",
        re.compile(rb"(authorization)([\"']?\s?[:=]\s?[\"']?)[^\"'\\]+", re.IGNORECASE),
        rb"\1\2[redacted]",
    ),
    (b"cookie", re.compile(rb"(cookie)(\s?[:=]\s?)[^\"'\\]+", re.IGNORECASE), rb"\1\2[redacted]"),
    (
        b"=",
        re.compile(
            rb"((?:password|passwd|pwd|secret|token|assertion)=)[^&\s\"'\\,;]+", re.IGNORECASE
        ),
        rb"\1[redacted]",
    ),
    (b"://", re.compile(rb"(://[^/\s:@\"\\]*:)[^/\s\"\\]*@"), rb"\1[redacted]@"),
)
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_MAX_INTEGER_BITS: Final = 63

_secrets: tuple[bytes, ...] = ()


def register_secrets(secrets: Iterable[str]) -> None:
    """Remove these values, in addition to earlier ones, from every later line."""
    global _secrets  # noqa: PLW0603 - one log a process
    spellings = set(_secrets)
    for secret in secrets:
        if len(secret) >= MIN_SECRET_LENGTH:
            for text in (secret, repr(secret)[1:-1], quote(secret), quote(secret, safe="")):
                spellings.add(text.encode(errors="replace"))
                spellings.add(json.dumps(text)[1:-1].encode())
                spellings.add(json.dumps(text, ensure_ascii=False)[1:-1].encode(errors="replace"))
    # The longest first: one secret can be part of another.
    _secrets = tuple(sorted(spellings, key=len, reverse=True))


def redact_fields(fields: Mapping[Any, Any], depth: int = _MAX_DEPTH) -> dict[str, Any]:
    """Redact fields with secret names, and convert all values to plain JSON."""
    return {
        str(name): REDACTED
        if value is not None and _names_secret(str(name))
        else _plain(value, depth)
        for name, value in fields.items()
    }


def mask(line: bytes) -> bytes:
    """Remove credentials from a rendered line, and escape control characters."""
    for secret in _secrets:
        if secret in line:
            line = line.replace(secret, b"[redacted]")
    lower = line.lower()
    for sign, shape, instead in _SHAPES:
        if sign in lower:
            line = shape.sub(instead, line)
    if not line.isascii() or b"\x7f" in line:
        line = _UNSAFE.sub(_escape, line.decode()).encode()
    return line


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


@functools.lru_cache(maxsize=1024)
def _names_secret(name: str) -> bool:
    return _SECRET_NAME.fullmatch(name) is not None


def _plain(value: object, depth: int) -> Any:
    if isinstance(value, str):
        return str(value) if len(value) <= _MAX_TEXT else _shortened(value)
    if isinstance(value, int):
        return value if value.bit_length() <= _MAX_INTEGER_BITS else "[huge integer]"
    if value is None or isinstance(value, float):
        return value
    return _plain_structure(value, depth)


def _plain_structure(value: object, depth: int) -> Any:
    if isinstance(value, bytes | bytearray):
        return _plain(value.decode(errors="backslashreplace"), depth)
    if depth and isinstance(value, Mapping):
        return redact_fields(value, depth - 1)
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in list(value)[:_MAX_ITEMS]]
    return _plain(_described(value), depth)


def _shortened(text: str) -> str:
    """Shorten a text after masking, because half a secret would not be recognized."""
    return mask(text.encode(errors="replace")).decode()[:_MAX_TEXT] + "…"


def _described(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a faulty `__repr__` must not lose the line
        return f"<{type(value).__name__}>"
