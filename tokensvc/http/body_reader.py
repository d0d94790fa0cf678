"""
The request body, read completely before any route runs.

Its size is bounded with and without Content-Length. It is read even if no route uses it, so that no
byte of it on a kept-alive connection is taken for the next request.
"""

from collections.abc import Mapping
from typing import Any

from gunicorn.http.errors import ParseException

from tokensvc.core.errors import Code, Refusal

MAX_BODY = 16 * 1024


def read_body(environ: Mapping[str, Any]) -> bytes:
    """
    Read the body.

    Raises:
        Refusal: `payload_too_large`; `malformed_request` for malformed framing and for a body that
            ends early or arrives too slowly.
    """
    length = environ.get("CONTENT_LENGTH")
    if length is None:
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding is None:
            return b""
        if coding.lower() != "chunked":
            # gunicorn accepts `gzip, chunked` without unpacking it.
            raise Refusal(Code.MALFORMED_REQUEST, "The only supported transfer coding is chunked.")
    elif not (length.isascii() and length.isdigit()):
        raise Refusal(Code.MALFORMED_REQUEST, "Content-Length must be digits.")
    elif len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        raise _too_large()
    try:
        body: bytes = environ["wsgi.input"].read(MAX_BODY + 1 if length is None else int(length))
    except (ParseException, OSError) as error:
        raise Refusal(
            Code.MALFORMED_REQUEST,
            "The body ended early, arrived too slowly, or has malformed chunks.",
            reason=type(error).__name__,
        ) from error
    if len(body) > MAX_BODY:
        raise _too_large()
    if length is not None and len(body) != int(length):
        raise Refusal(Code.MALFORMED_REQUEST, "The body is shorter than Content-Length.")
    return body


def _too_large() -> Refusal:
    return Refusal(Code.PAYLOAD_TOO_LARGE, f"The body is too large. Send at most {MAX_BODY} bytes.")
