"""Measuring requests: the cuts of a stream do not matter, and gunicorn's parser agrees."""

import pytest
from gunicorn.config import Config
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from hypothesis import example, given
from hypothesis import strategies as st

from tokensvc.server.framing import MAX_BODY, Framing, Progress

MAX_HEAD, MAX_CHUNKED = 32 * 1024, 48 * 1024
CONFIG = Config()
CONFIG.set("limit_request_field_size", 32768)
WAITING = (Progress.MORE, Progress.CONTINUE)


def measure(stream: bytes, cuts: list[int]) -> tuple[list[bytes], Progress]:
    """Feed a stream in pieces; return the whole requests and what the rest is."""
    received, requests, framing = bytearray(), [], Framing()
    edges = sorted({min(cut, len(stream)) for cut in cuts} | {len(stream)})
    start, progress = 0, Progress.MORE
    for edge in edges:
        received += stream[start:edge]
        start = edge
        while received and progress in (*WAITING, Progress.WHOLE):
            progress = framing.measure(received)
            if progress is not Progress.WHOLE:
                break
            requests.append(bytes(received[: framing.length]))
            del received[: framing.length]
            framing = Framing()
    if progress is Progress.WHOLE or progress is Progress.CONTINUE:
        progress = Progress.MORE
    return requests, progress


def chunks(parts: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    coded = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts if part)
    return coded + b"0\r\n" + trailer + b"\r\n"


BODY = st.binary(max_size=40) | st.sampled_from([b"\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
WITH_LENGTH = BODY.map(lambda body: (b"Content-Length: %d\r\n" % len(body), body))
CHUNKED = st.builds(
    lambda *args: (b"Transfer-Encoding: chunked\r\n", chunks(*args)),
    st.lists(BODY, max_size=3),
    st.sampled_from([b"", b";a=b", b' ;a="b c"']),
    st.sampled_from([b"", b"X-Trailer: a\r\n"]),
)
EXPECT = WITH_LENGTH.map(lambda pair: (b"Expect: 100-continue\r\n" + pair[0], pair[1]))
NO_BODY = st.just((b"", b""))
WELL_FORMED = st.builds(
    lambda start, framed, name: start + b"Host: a\r\n" + name + framed[0] + b"\r\n" + framed[1],
    st.sampled_from([b"POST /v1/token HTTP/1.1\r\n", b"\r\nGET / HTTP/1.1\r\n"]),
    WITH_LENGTH | CHUNKED | EXPECT | NO_BODY,
    st.sampled_from([b"", b"X: a http/1.0\r\n", b"X-Content-Length: 9\r\n"]),
)
FRAGMENTS = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.0\r\n", b"Host: a\r\n", b"\r\n", b"\r", b"\n"),
        *(b"Content-Length: 3\r\n", b"content-length:\t2 \r\n", b"Content-Length: -1\r\n"),
        *(b"Content-Length : 1\r\n", b" Content-Length: 1\r\n", b"Content-Length: 99999\r\n"),
        *(b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n"),
        *(b"Transfer-Encoding:chunked,chunked\r\n", b"Expect: 100-continue\r\n", b"Expect: a\r\n"),
        *(b"0\r\n\r\n", b"3\r\nabc\r\n", b"2;x\r\nab\r\n", b"z\r\n", b"3\r\nabcd\r\n", b"ab"),
        *(b"4000\r\n" + b"a" * 0x4000 + b"\r\n", b"1\r\n", b"X-Trailer: b\r\n\r\n", b"abc"),
    ]
)
CUTS = st.lists(st.integers(0, 400), max_size=12)


@pytest.mark.sec(57)
@given(st.lists(WELL_FORMED, min_size=1, max_size=4), CUTS)
def test_well_formed_requests_are_measured_exactly(requests: list[bytes], cuts: list[int]) -> None:
    assert measure(b"".join(requests), cuts) == (requests, Progress.MORE)


@pytest.mark.sec(57)
@given(st.lists(FRAGMENTS, max_size=14).map(b"".join), CUTS)
def test_cuts_do_not_change_what_is_measured(stream: bytes, cuts: list[int]) -> None:
    """Any bytes give the same requests, and the same end, however they arrive."""
    whole = measure(stream, [])
    assert measure(stream, cuts) == whole
    assert measure(stream, list(range(min(len(stream), 400)))) == whole


@pytest.mark.sec(57)
@given(st.lists(FRAGMENTS, max_size=14).map(b"".join))
@example(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2 ;x\r\nab\r\n0\r\n\r\n")
def test_parser_ends_a_request_where_the_measure_does(stream: bytes) -> None:
    """The parser, given the rest of the stream, stops at the same byte or refuses the request."""
    while True:
        requests, _ = measure(stream, [])
        if not requests:
            return
        unreader = IterUnreader([stream])
        try:
            request = Request(CONFIG, unreader, ("127.0.0.1", 1))
            request.body.read()
        except (ParseException, NoMoreData):
            return
        assert len(stream) - len(unreader.take_buffered()) == len(requests[0])
        stream = stream[len(requests[0]) :]


def head(*fields: bytes) -> bytes:
    return b"\r\n".join([b"POST / HTTP/1.1", *fields, b"", b""])


IN_CHUNKS = head(b"Transfer-Encoding: chunked")


@pytest.mark.sec(51, 65)
@pytest.mark.parametrize(
    ("stream", "progress"),
    [
        (b"G" * MAX_HEAD, Progress.LINE_TOO_LONG),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * MAX_HEAD, Progress.HEAD_TOO_LONG),
        (head(b"Content-Length: %d" % (MAX_BODY + 1)), Progress.REFUSED),
        (IN_CHUNKS + b"FFFFFFFF\r\n" + b"a" * MAX_BODY, Progress.MORE),
        (IN_CHUNKS + b"FFFFFFFF\r\n" + b"a" * (MAX_BODY + 1), Progress.REFUSED),
        (IN_CHUNKS + b"1;" + b"a" * (MAX_CHUNKED - 1), Progress.REFUSED),
        (
            IN_CHUNKS + b"1;a=bcd\r\na\r\n" * (MAX_CHUNKED // 12) + b"0\r\n\r\n",
            Progress.REFUSED,
        ),
        (IN_CHUNKS + b"0\r\nX: " + b"a" * MAX_CHUNKED, Progress.REFUSED),
        (head(b"Content-Length: 3", b"Transfer-Encoding: chunked"), Progress.REFUSED),
        (head(b"Content-Length: 3", b"Content-Length: 3"), Progress.REFUSED),
    ],
)
def test_requests_that_are_too_large_or_ambiguous_end_the_measure(
    stream: bytes, progress: Progress
) -> None:
    assert measure(stream, list(range(0, len(stream), 999))) == ([], progress)


def test_body_is_invited_once() -> None:
    framing, data = Framing(), bytearray(head(b"Content-Length: 2", b"Expect: 100-continue"))
    assert framing.measure(data) is Progress.CONTINUE
    assert framing.measure(data) is Progress.MORE
    assert framing.measure(data + b"{}") is Progress.WHOLE


@pytest.mark.parametrize(
    "data",
    [
        head(b"Content-Length: 2", b"Expect: 100-continue") + b"{}",
        head(b"Content-Length: 0", b"Expect: 100-continue"),
        head(b"Expect: 100-continue"),
    ],
)
def test_body_that_has_arrived_is_not_invited(data: bytes) -> None:
    assert Framing().measure(bytearray(data)) is Progress.WHOLE
