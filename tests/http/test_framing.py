"""When a request is whole: never before its last byte, and at its last byte at the latest."""

import pytest
from gunicorn.http.errors import ParseException
from hypothesis import given
from hypothesis import strategies as st

from tokensvc.http.framing import MAX_CHUNKED, MAX_HEAD, expects_continue, is_whole
from tokensvc.http.intake import MAX_BODY

HEAD = b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

names = st.sampled_from([b"X", b"Accept", b"X-Content-Length", b"content-typ"])
values = st.binary(max_size=20).map(lambda value: value.translate(None, b"\r\n"))
fields = st.lists(st.tuples(names, values).map(b": ".join), max_size=4)


def request(lines: list[bytes], framing: list[bytes], body: bytes) -> bytes:
    return b"\r\n".join([HEAD.rstrip(), *lines, *framing, b"", body])


@st.composite
def with_length(draw: st.DrawFn) -> bytes:
    body = draw(st.binary(max_size=60))
    name = draw(st.sampled_from([b"Content-Length", b"content-length", b"CONTENT-LENGTH"]))
    length = name + b":" + draw(st.sampled_from([b"", b" ", b"\t"])) + b"%d" % len(body)
    return request(draw(fields), [length], body)


@st.composite
def with_chunks(draw: st.DrawFn) -> bytes:
    chunks = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    extension = draw(st.sampled_from([b"", b";a=b", b" ; a"]))
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(chunk), extension, chunk) for chunk in chunks)
    trailer = draw(st.sampled_from([b"", b"X: a\r\n", b"X: a\r\nY: b\r\n"]))
    return request(
        draw(fields), [b"Transfer-Encoding: chunked"], body + b"0\r\n" + trailer + b"\r\n"
    )


@given(st.one_of(fields.map(lambda lines: request(lines, [], b"")), with_length(), with_chunks()))
def test_whole_at_the_last_byte(data: bytes) -> None:
    """No well-formed request is whole before its end, so that no thread waits for the rest."""
    assert is_whole(data)
    assert not any(is_whole(data[:end]) for end in range(len(data)))


@given(with_chunks(), st.binary(max_size=20))
def test_what_follows_does_not_matter(data: bytes, more: bytes) -> None:
    """The next request may be there already."""
    assert is_whole(data + more)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1x\r\n\r\n",
        HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"x\r\n",
        CHUNKED + b"+1\r\n",
        CHUNKED + b"1_0\r\n",
        CHUNKED + b"123456789\r\n",
        CHUNKED + b"2\r\n{}}}",
        CHUNKED + b"%x\r\n" % 2**20 + b" " * (MAX_BODY + 1),
    ],
)
def test_what_will_be_refused_is_not_waited_for(data: bytes) -> None:
    """A request that the parser or the application refuses in any case is whole at once."""
    assert is_whole(data)


@pytest.mark.parametrize(
    "data",
    [
        b"G" * (MAX_HEAD + 1),
        b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD,
        CHUNKED + b"1;" + b"a" * 60 + b"\r\n " + b"\r\n1;a\r\n " * (MAX_CHUNKED // 8),
        CHUNKED + b"1;" + b"a" * MAX_CHUNKED,
        CHUNKED + b"0\r\nX: " + b"a" * MAX_CHUNKED,
    ],
)
def test_what_has_no_end_is_refused(data: bytes) -> None:
    """More bytes than any request may have are refused, not kept."""
    with pytest.raises(ParseException):
        is_whole(data)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"Expect: 100-continue", True),
        (b"expect: 100-Continue", True),
        (b"Expect: tea", False),
        (b"X: expect: 100-continue", False),
    ],
)
def test_who_waits_for_leave(line: bytes, *, expected: bool) -> None:
    """A client that wants to hear 100 first says so in a field of its own."""
    assert expects_continue(HEAD + line + b"\r\nContent-Length: 2\r\n\r\n") is expected
