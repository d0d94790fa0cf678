"""
Stream's check of a token, and its errors.

As strict as the real Stream. Where its documents and SDKs say nothing, the check is strict: only
HS256, three unpadded base64url segments, claims of the types of a Go struct (`user_id` is a string;
`iat`, `exp` and `nbf` are 64-bit integers).
"""

import base64
import binascii
import hmac
import json
import re
from dataclasses import dataclass
from typing import Any

EXPIRED = "JWTAuth error: token is expired (exp)"

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")

_STATUS = {
    -1: 500,
    2: 401,
    4: 400,
    5: 401,
    9: 429,
    16: 404,
    17: 403,
    40: 401,
    41: 401,
    42: 401,
    43: 401,
    46: 400,
    99: 403,
}


class StreamError(Exception):
    """
    An error response of Stream.

    Args:
        code: Stream's error number, which decides what an SDK does.
        message: Text for people.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.status = _STATUS[code]
        self.body = {
            "code": code,
            "message": message,
            "StatusCode": self.status,
            "duration": "0.00ms",
            "more_info": "https://getstream.io/chat/docs/api_errors_response",
            "details": [],
        }


@dataclass(frozen=True)
class Claims:
    """Claims of a token with a valid signature."""

    user_id: str | None
    server: bool
    iat: int | None
    exp: int | None
    nbf: int | None


def verify(token: str, api_key: str, secret: str | None, now: float) -> Claims:
    """
    Check a token, except for its revocation.

    Args:
        secret: Secret of the API key; `None` while the app accepts any signature.

    Raises:
        StreamError: 5 for the form, 43 for the signature, 40, 41 or 42 for the times.
    """
    segments = token.split(".")
    if len(segments) != 3:
        raise StreamError(5, "token contains an invalid number of segments")
    _check_header(_decode_json(segments[0]))
    claims = _claims(_decode_json(segments[1]))
    signing_input = f"{segments[0]}.{segments[1]}".encode()
    if secret is not None and not hmac.compare_digest(
        _decode(segments[2]), hmac.digest(secret.encode(), signing_input, "sha256")
    ):
        raise StreamError(
            43,
            "JWTAuth error: signature is not valid. Make sure the token is created using the "
            f'secret for API key "{api_key}"',
        )
    if claims.exp is not None and now >= claims.exp:
        raise StreamError(40, EXPIRED)
    if claims.nbf is not None and now < claims.nbf:
        raise StreamError(41, "JWTAuth error: token not valid yet (nbf)")
    if claims.iat is not None and now < claims.iat:
        raise StreamError(42, "JWTAuth error: token used before issue at (iat)")
    return claims


def _check_header(header: dict[str, Any]) -> None:
    if header.get("alg") != "HS256":
        raise StreamError(5, f"unexpected signing method {header.get('alg')!r}")
    if header.get("typ", "JWT") != "JWT":
        raise StreamError(5, f"unexpected token type {header['typ']!r}")


def _claims(claims: dict[str, Any]) -> Claims:
    user_id = claims.get("user_id")
    if user_id is not None and not isinstance(user_id, str):
        raise _cannot_unmarshal("user_id", "string")
    return Claims(
        user_id=user_id or None,
        server=not user_id or claims.get("server") in {True, "true"},
        iat=_time(claims, "iat"),
        exp=_time(claims, "exp"),
        nbf=_time(claims, "nbf"),
    )


def _time(claims: dict[str, Any], name: str) -> int | None:
    value = claims.get(name)
    if value is not None and (type(value) is not int or abs(value) >= 2**63):
        raise _cannot_unmarshal(name, "int64")
    return value


def _decode_json(segment: str) -> dict[str, Any]:
    try:
        value = json.loads(
            _decode(segment).decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_reject_constant,
        )
    except ValueError as error:
        raise StreamError(5, f"token is malformed: {error}") from error
    if not isinstance(value, dict):
        raise _cannot_unmarshal("token", "StreamJWTClaims")
    return value


def _decode(segment: str) -> bytes:
    if not _BASE64URL.fullmatch(segment) or len(segment) % 4 == 1:
        raise StreamError(5, "illegal base64 data")
    try:
        return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except binascii.Error as error:
        raise StreamError(5, "illegal base64 data") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a member appears twice")
    return dict(pairs)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _cannot_unmarshal(field: str, kind: str) -> StreamError:
    return StreamError(5, f"json: cannot unmarshal into Go struct field {field} of type {kind}")
