"""One request in memory: the environment, the response, and what is refused."""

from collections.abc import Iterable
from typing import Any

import pytest
from gunicorn.http.body import ChunkedReader
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from gunicorn.http.wsgi import create

from testing.raw import parse
from testing.response import Response
from tests.server.conftest import Gate, get, gunicorn_settings
from tokensvc.server.responder import Responder

CLIENT, SERVER = ("192.0.2.1", 4000), ("127.0.0.1", 8000)


def responder_of(app: Any) -> Responder:
    return Responder(app, gunicorn_settings(), Gate().hooks())


def respond(
    app: Any, request: bytes = b"", *, whole: bool = True, keep: bool = True
) -> tuple[Response, bool]:
    responder = responder_of(app)
    data, keep = responder.respond(request or get(b"/"), CLIENT, SERVER, whole=whole, keep=keep)
    (response,) = parse(data)
    assert response.headers["Connection"] == ("keep-alive" if keep else "close")
    return response, keep


def app_with(*headers: tuple[str, str], status: str = "200 OK", body: Iterable[bytes] = (b"ab",)):
    def app(_: Any, start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers))
        return body

    return app


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(b"/a%20b%C3%A9?c=%2F&d", b"X-Twice: 1", b"Accept: a", b"X-Twice: 2", b"X_Bad: a"),
        get(b"http://a/b?c", b"Content-Type: a/b", b"Content-Length: 0"),
        get(b"/", b"Expect: 100-continue", b"X-Empty:"),
        b"OPTIONS * HTTP/1.0\r\n\r\n",
    ],
)
def test_environment_is_that_of_gunicorn(request_bytes: bytes) -> None:
    """Each variable has the value that gunicorn's own workers give it."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        return app_with()(environ, start_response)

    class NoSocket:
        def send(self, data: bytes) -> None:
            pass

    settings = gunicorn_settings()
    request = Request(settings, IterUnreader([request_bytes]), CLIENT)
    _, expected = create(request, NoSocket(), CLIENT, SERVER, settings)
    for of_its_own in ("wsgi.input", "wsgi.errors", "gunicorn.socket", "wsgi.early_hints"):
        expected.pop(of_its_own)
    responder_of(app).respond(request_bytes, CLIENT, SERVER, whole=True, keep=True)
    assert {name: seen[name] for name in expected} == expected | {"wsgi.multithread": True}


@pytest.mark.sec(57)
@pytest.mark.parametrize("bad", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "\u20ac"])
def test_header_that_would_split_the_response_gets_500(bad: str) -> None:
    for header in (("X-Name", bad), (f"X{bad}", "a")):
        response, keep = respond(app_with(header))
        assert (response.status, keep) == (500, False)
        assert b"Cookie" not in response.body
    assert respond(app_with(status=f"200 {bad}"))[0].status == 500


def test_body_has_a_length_and_hop_by_hop_fields_are_left_out() -> None:
    fields = [("Content-Length", "99"), ("Transfer-Encoding", "chunked"), ("Upgrade", "a")]
    response, _ = respond(app_with(*fields, ("X-A", "b"), body=[b"ab", b"cd"]))
    assert response.body == b"abcd"
    assert response.headers.keys() == {"Server", "Date", "Connection", "X-A", "Content-Length"}


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [(b"HEAD", "200 OK", "5"), (b"GET", "204 No Content", None), (b"GET", "304 Not Modified", "5")],
)
def test_response_without_body(method: bytes, status: str, length: str | None) -> None:
    responder = responder_of(app_with(("Content-Length", "5"), status=status, body=[b"abcde"]))
    request = get(b"/").replace(b"GET", method)
    data, keep = responder.respond(request, CLIENT, SERVER, whole=True, keep=True)
    head, _, body = data.partition(b"\r\n\r\n")
    assert (body, keep) == (b"", True)
    assert (f"Content-Length: {length}".encode() in head) is (length is not None)


@pytest.mark.parametrize("fields", [(), (b"malformed",)])
def test_head_request_that_fails_gets_no_body(fields: tuple[bytes, ...]) -> None:
    responder = responder_of(app_with(("X-Bad", "\n")))
    request = get(b"/", *fields).replace(b"GET", b"HEAD")
    data, _ = responder.respond(request, CLIENT, SERVER, whole=True, keep=True)
    assert data.endswith(b"\r\n\r\n")
    assert b"Content-Length: 0" not in data


def test_content_that_is_written_comes_first_and_is_closed() -> None:
    class Content(list[bytes]):
        closed = False

        def close(self) -> None:
            Content.closed = True

    def app(_: Any, start_response: Any) -> Content:
        start_response("200 OK", [])(b"a")
        return Content([b"b"])

    assert respond(app)[0].body == b"ab"
    assert Content.closed


@pytest.mark.parametrize("when", ["call", "iteration", "twice"])
def test_application_that_fails_gets_500(when: str) -> None:
    def content() -> Iterable[bytes]:
        yield b"a"
        raise ValueError("a secret")

    def app(_: Any, start_response: Any) -> Iterable[bytes]:
        if when == "call":
            raise ValueError("a secret")
        start_response("200 OK", [])
        if when == "twice":
            start_response("200 OK", [])
        return content()

    response, keep = respond(app)
    assert (response.status, keep) == (500, False)
    assert b"secret" not in response.body


@pytest.mark.parametrize(
    ("fields", "version", "keep"),
    [
        ((), b"1.1", True),
        ((b"Connection: close",), b"1.1", False),
        ((), b"1.0", False),
        ((b"Connection: keep-alive",), b"1.0", True),
    ],
)
def test_connection_is_kept_as_the_client_says(
    fields: tuple[bytes, ...], version: bytes, keep: bool
) -> None:
    request = get(b"/", *fields).replace(b"HTTP/1.1", b"HTTP/" + version)
    responder = responder_of(app_with())
    data, kept = responder.respond(request, CLIENT, SERVER, whole=True, keep=True)
    assert (kept, data.startswith(b"HTTP/1.1 ")) == (keep, True)
    assert responder.respond(request, CLIENT, SERVER, whole=True, keep=False)[1] is False


POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
DIFFERENT = {
    "bytes after the request": (get(b"/") + b"x", True),
    "bytes after the chunks": (CHUNKED + b"0\r\n\r\nx", True),
    "a body that is too short": (POST + b"Content-Length: 3\r\n\r\nab", True),
    "a request that was measured as a part": (get(b"/"), False),
    "chunks that were measured as a part": (CHUNKED + b"0\r\n\r\n", False),
}


@pytest.mark.sec(51)
def test_tiny_chunks_are_not_copied_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser copies what it has read of a body for each chunk: that must be little."""
    parse_chunk_size, copied = ChunkedReader.parse_chunk_size, []

    def recorded(self: Any, unreader: Any, data: bytes | None = None) -> Any:
        copied.append(len(data or b""))
        return parse_chunk_size(self, unreader, data)

    def echo(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return app_with(body=[environ["wsgi.input"].read()])(environ, start_response)

    monkeypatch.setattr(ChunkedReader, "parse_chunk_size", recorded)
    response, keep = respond(echo, CHUNKED + b"1\r\na\r\n" * 8000 + b"0\r\n\r\n")
    assert (response.body, keep) == (b"a" * 8000, True)
    assert max(copied) < 4096


@pytest.mark.sec(57)
@pytest.mark.parametrize("case", DIFFERENT)
def test_request_that_the_parser_ends_elsewhere_is_refused(case: str) -> None:
    """The application is not called, and the connection ends."""
    request, whole = DIFFERENT[case]
    response, keep = respond(lambda *_: pytest.fail("called"), request, whole=whole)
    assert (response.status, keep) == (400, False)
