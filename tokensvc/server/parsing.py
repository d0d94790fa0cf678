"""
The bytes of one request become the WSGI environment, with gunicorn's parser.

A request whose bytes the parser does not consume exactly as they were measured is refused.
"""

from functools import partial
from io import BytesIO
from types import SimpleNamespace
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import Unreader

from tokensvc.server.framing import MAX_BODY
from tokensvc.server.hooks import Environ

PIECE = 2048
"""Bytes that the parser gets at a time."""


class FramingMismatch(ParseException):  # type: ignore[misc]  # gunicorn is untyped
    """The parser did not consume the bytes that were measured."""


class ParserSettings:
    """gunicorn's settings as the parser reads them; each is looked up once."""

    def __init__(self, settings: Any) -> None:
        self._settings = settings

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._settings, name)
        setattr(self, name, value)
        return value


class ParsedRequest(Request):  # type: ignore[misc]  # gunicorn is untyped
    """A request whose forwarding headers gunicorn must ignore: the application reads them."""

    def _peer_trusted_for_forwarded(self) -> tuple[dict[str, str], list[str]]:
        return {}, []  # without parsing the peer's address for each request


class RequestBytes(Unreader):  # type: ignore[misc]  # gunicorn is untyped
    """Exactly the bytes of one request."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._rest = BytesIO(data)

    def chunk(self, size_hint: int | None = None) -> bytes:  # noqa: ARG002 - gunicorn's
        """Return the next piece: gunicorn copies all that it has read for each body chunk."""
        return self._rest.read(PIECE)

    def is_consumed(self) -> bool:
        """Return whether the parser has consumed all bytes."""
        return not self.take_buffered() and not self._rest.read(1)


def body_of(message: Any, data: RequestBytes, *, whole: bool) -> Any:
    """
    Return the input of a request.

    Raises:
        FramingMismatch: The parser found another end of the request than was measured.
    """
    reader = message.body.reader
    length = None if isinstance(reader, ChunkedReader) else reader.length
    if length and not whole:
        return message.body  # too long or cut off: the application refuses it
    try:
        body = reader.read(MAX_BODY + 1)
    except (ParseException, OSError) as error:
        return SimpleNamespace(read=partial(_raise, error))
    is_exact = len(body) > MAX_BODY
    if whole:
        is_exact = data.is_consumed() and length in (None, len(body))
    if not is_exact:
        raise FramingMismatch
    return BytesIO(body)


def _raise(error: Exception, *_: object) -> NoReturn:
    """Raise the parser's error when the application reads a body that cannot be read."""
    raise error


def environ_of(base: Environ, message: Any, body: Any, client: Any, server: Any) -> Environ:
    """Return the WSGI environment of a request; `base` has what is the same for all requests."""
    environ = {**base}
    for name, value in message.headers:
        key = "HTTP_" + name.replace("-", "_")
        if key in {"HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"}:
            key = key[5:]
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    is_internet = isinstance(client, tuple)
    environ |= {
        "wsgi.input": body,
        "wsgi.url_scheme": message.scheme,
        "REQUEST_METHOD": message.method,
        "RAW_URI": message.uri,
        "PATH_INFO": unquote_to_bytes(message.path).decode("latin-1"),
        "QUERY_STRING": message.query,
        "SERVER_PROTOCOL": "HTTP/{}.{}".format(*message.version),
        "REMOTE_ADDR": client[0] if is_internet else "",
        "REMOTE_PORT": str(client[1]) if is_internet else "",
        "SERVER_NAME": server[0] if is_internet else "",
        "SERVER_PORT": str(server[1]) if is_internet else "",
    }
    return environ
