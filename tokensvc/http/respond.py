"""Responses, and the choice between JSON and plain text."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import msgspec

from tokensvc.core import current_request
from tokensvc.core.errors import Code, Refusal

NO_STORE = (("Cache-Control", "no-store"), ("Pragma", "no-cache"))
"""Default caching fields (RFC 6749 section 5.1)."""

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_WEIGHT = re.compile(r"0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?")
_encode = msgspec.json.Encoder().encode

Headers = Iterable[tuple[str, str]]


class Response:
    """
    A response with fixed content. As a WSGI application it costs a quarter of Werkzeug's.

    Args:
        status: HTTP status code.
        body: Content.
        content_type: Media type of the body, "" without a body.
        headers: Additional fields.
        caching: Caching fields.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes = b"",
        content_type: str = "",
        headers: Headers = (),
        *,
        caching: Headers = NO_STORE,
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [*caching, *headers]
        if content_type:
            self.headers.append(("Content-Type", content_type))
        if status != HTTPStatus.NO_CONTENT:
            self.headers.append(("Content-Length", str(len(body))))

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        """Send the response, for HEAD without the body (RFC 9110 section 9.3.2)."""
        start_response(_STATUS_LINES[self.status], self.headers)
        if self.body and environ["REQUEST_METHOD"] != "HEAD":
            return (self.body,)
        return ()


def encode_json(content: Any) -> bytes:
    """Return a struct, a mapping or a list as JSON with a newline, for terminals."""
    return _encode(content) + b"\n"


def json_response(
    content: Any, status: int = 200, headers: Headers = (), *, caching: Headers = NO_STORE
) -> Response:
    """Return a struct, a mapping or a list as JSON."""
    return Response(status, encode_json(content), JSON, headers, caching=caching)


def text_response(text: str) -> Response:
    """Return plain text."""
    return Response(200, text.encode("utf-8"), TEXT, ())


def wants_text() -> bool:
    """
    Return whether the client prefers `text/plain` to JSON, the default.

    Raises:
        Refusal: `not_acceptable` if it accepts neither.
    """
    accept = current_request.get().environ.get("HTTP_ACCEPT")
    if accept is None or accept == "*/*":
        return False
    json, text = _qualities(accept)
    if max(json, text) <= 0:
        raise Refusal(
            Code.NOT_ACCEPTABLE,
            "The response is application/json or text/plain. Accept one of them.",
        )
    return text > json


@lru_cache(maxsize=256)
def _qualities(accept: str) -> tuple[float, float]:
    """Return the weights of JSON and of plain text (RFC 9110 section 12.5.1)."""
    ranges: dict[str, float] = {}
    for item in accept.split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        ranges[media_range] = _weight(parameters)
    return (
        _quality(ranges, ("application/json", "application/*", "*/*")),
        _quality(ranges, ("text/plain", "text/*", "*/*")),
    )


def _quality(ranges: dict[str, float], most_specific_first: tuple[str, ...]) -> float:
    return next((ranges[name] for name in most_specific_first if name in ranges), 0.0)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            return float(value) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
