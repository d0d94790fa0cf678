"""
Requests that a proxy in front could read differently are refused.

Each case hides a request for `/smuggled`. It must not get a response, and an ambiguity must end the
connection.
"""

import json
import re
from collections.abc import Iterator

import pytest

from testing.contract_checks import check
from testing.other_servers import running_server
from testing.raw import MARKER, converse
from testing.response import Response
from testing.service import Service, running_service

HIDDEN = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPEN = b"POST /v1/token HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = OPEN + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running_service(tmp_path_factory.mktemp("service")) as running:
        yield running
        lines = running.log_lines()
        assert not [line for line in lines if "smuggled" in line.get("path", "")]
        assert not [line for line in lines if "exception" in line]


@pytest.fixture(scope="module")
def gthread_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the URL of the same application on gunicorn's own worker."""
    with running_server("gthread", tmp_path_factory.mktemp("gthread"), []) as base_url:
        yield base_url


def check_problem(response: Response) -> None:
    """Fail unless the response is a problem that must not be cached."""
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["Cache-Control"] == "no-store"
    assert re.fullmatch("[0-9a-f]{32}", response.headers["X-Request-Id"])
    assert response.body.endswith(b"}\n")
    problem = json.loads(response.body)
    check(problem, {"$ref": "#/components/schemas/Problem"}, "the problem")
    assert problem["status"] == response.status
    assert problem["request_id"] == response.headers["X-Request-Id"]


AMBIGUOUS = {
    "length and coding": OPEN + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": OPEN + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": OPEN + b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n",
    "the same length twice": OPEN + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a list of lengths": OPEN + b"Content-Length: 0, 44\r\n\r\n",
    "a signed length": OPEN + b"Content-Length: +2\r\n\r\n{}",
    "a negative length": OPEN + b"Content-Length: -2\r\n\r\n{}",
    "a hexadecimal length": OPEN + b"Content-Length: 0x2\r\n\r\n{}",
    "a length with a space": OPEN + b"Content-Length: 2 2\r\n\r\n{}",
    "a length in other digits": OPEN + b"Content-Length: \xb2\r\n\r\n{}",
    "an empty length": OPEN + b"Content-Length:\r\n\r\n",
    "a space before the colon": OPEN + b"Content-Length : 0\r\n\r\n",
    "a coding before a colon and space": OPEN + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": OPEN + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two fields": OPEN
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then identity": OPEN + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "identity in a second field": OPEN
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "identity": OPEN + b"Transfer-Encoding: identity\r\n\r\n",
    "identity and a length": OPEN + b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
    "packed and chunked": OPEN + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, then packed": OPEN + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "a vertical tab before the coding": OPEN + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "a folded coding": OPEN + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a folded field": OPEN + b"X-Folded: a\r\n\tb\r\nContent-Length: 0\r\n\r\n",
    "a field before the first": b"POST /v1/token HTTP/1.1\r\n X: a\r\nHost: localhost\r\n\r\n",
    "a bare LF after a field": OPEN + b"X: a\nContent-Length: 0\r\n\r\n",
    "a bare LF after the request line": b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n",
    "an empty line of LF": b"GET /healthz HTTP/1.1\r\nHost: localhost\n\n",
    "a bare CR in a field": OPEN + b"X: a\rContent-Length: 44\r\n\r\n",
    "a NUL in a field": OPEN + b"X: a\x00b\r\n\r\n",
    "a NUL in a name": OPEN + b"X\x00: a\r\n\r\n",
    "a name of no token": OPEN + b"X(: a\r\n\r\n",
    "no name": OPEN + b": a\r\n\r\n",
    "no colon": OPEN + b"Nonsense\r\n\r\n",
    "a coding in HTTP/1.0": b"POST /v1/token HTTP/1.0\r\nHost: localhost\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "two equal hosts": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    "chunk: no size": CHUNKED + b"\r\n\r\n",
    "chunk: a sign": CHUNKED + b"+2\r\n{}\r\n0\r\n\r\n",
    "chunk: a minus": CHUNKED + b"-1\r\n\r\n0\r\n\r\n",
    "chunk: a prefix": CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n",
    "chunk: an underscore": CHUNKED + b"0_2\r\n{}\r\n0\r\n\r\n",
    "chunk: a space before the size": CHUNKED + b" 2\r\n{}\r\n0\r\n\r\n",
    "chunk: a space behind the size": CHUNKED + b"2 \r\n{}\r\n0\r\n\r\n",
    "chunk: a bare LF": CHUNKED + b"2\n{}\n0\n\n",
    "chunk: an extension with a bare CR": CHUNKED + b"2;a\rb\r\n{}\r\n0\r\n\r\n",
    "chunk: an extension with a bare LF": CHUNKED + b"2;a\nb\r\n{}\r\n0\r\n\r\n",
    "chunk: an extension of no token": CHUNKED + b"2;(\r\n{}\r\n0\r\n\r\n",
    "chunk: longer than its size": CHUNKED + b"2\r\n{}}}\r\n0\r\n\r\n",
    "chunk: a host in the trailer": CHUNKED + b"0\r\nHost: evil.example\r\n\r\n",
    "chunk: a credential in the trailer": CHUNKED + b"0\r\nAuthorization: Bearer x\r\n\r\n",
    "chunk: a length in the trailer": CHUNKED + b"0\r\nContent-Length: 44\r\n\r\n",
    "chunk: a bare LF in the trailer": CHUNKED + b"0\r\nX: a\n\n",
}


@pytest.mark.sec(57)
@pytest.mark.parametrize("case", AMBIGUOUS)
def test_ambiguous_framing_gets_400_and_ends_the_connection(service: Service, case: str) -> None:
    """Nothing after it is read."""
    responses = converse(service.base_url, AMBIGUOUS[case] + HIDDEN + MARKER)
    assert [response.status for response in responses] == [400]
    check_problem(responses[0])


@pytest.mark.sec(57)
@pytest.mark.parametrize("case", AMBIGUOUS)
def test_ambiguous_framing_is_refused_by_gthread_too(gthread_url: str, case: str) -> None:
    """Our loop is not stricter or looser than gunicorn's own worker."""
    responses = converse(gthread_url, AMBIGUOUS[case] + HIDDEN + MARKER)
    assert [response.status for response in responses] == [400]


@pytest.mark.sec(57)
@pytest.mark.parametrize(
    "coding", [b"xchunked", b"chunked;q=1", b'"chunked"', b"chunk\xa0ed", b"x"]
)
def test_unknown_transfer_coding_gets_501_and_ends_the_connection(
    service: Service, coding: bytes
) -> None:
    """RFC 9112 section 6.1."""
    head = OPEN + b"Transfer-Encoding: " + coding + b"\r\n\r\n"
    responses = converse(service.base_url, head + b"0\r\n\r\n" + HIDDEN + MARKER)
    assert [response.status for response in responses] == [501]
    check_problem(responses[0])


WELL_FRAMED = {
    "a body that a GET does not want": (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
        200,
    ),
    "a body of an unknown path": (
        b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
        404,
    ),
    "a body of an undeclared method": (
        b"PUT /v1/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
        405,
    ),
    "a body for another host": (
        b"POST /v1/token HTTP/1.1\r\nHost: evil.example\r\nContent-Length: %d\r\n\r\n",
        400,
    ),
    "a body that is not JSON": (OPEN + b"Content-Length: %d\r\n\r\n", 415),
    "a body with capitals": (OPEN + b"CONTENT-LENGTH:\t%d \r\n\r\n", 415),
}


@pytest.mark.sec(57)
@pytest.mark.parametrize("case", WELL_FRAMED)
def test_body_is_never_read_as_a_request(service: Service, case: str) -> None:
    """The next request begins at the end of the body, whatever the response was."""
    head, status = WELL_FRAMED[case]
    responses = converse(service.base_url, head % len(HIDDEN) + HIDDEN + MARKER)
    statuses = [response.status for response in responses]
    assert statuses in ([status, 200], [status])


@pytest.mark.sec(57)
def test_refused_body_is_never_read_as_a_request(service: Service) -> None:
    body = HIDDEN * 2000
    head = OPEN + b"Content-Length: %d\r\n\r\n" % len(body)
    (response,) = converse(service.base_url, head + body + MARKER)
    assert response.status == 413


@pytest.mark.sec(57)
def test_each_request_gets_one_response(service: Service) -> None:
    """Malformed bytes that follow a response do not get a second one."""
    body = b"4001\r\n" + b" " * 0x4001 + b"\r\nnonsense\r\n"
    (response,) = converse(service.base_url, CHUNKED + body + MARKER)
    assert response.status == 413


@pytest.mark.sec(57)
def test_chunk_extensions_and_trailers_are_skipped(service: Service) -> None:
    """The next request gets its response."""
    body = b'2;name=value;other="a b"\r\n{}\r\n0\r\nX-Trailer: a\r\n\r\n'
    responses = converse(service.base_url, CHUNKED + body + MARKER)
    assert [response.status for response in responses] == [415, 200]


@pytest.mark.sec(57)
def test_pipelined_requests_get_responses_in_order(service: Service) -> None:
    request = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
    names = [b"healthz", b"nowhere", b"readyz", b"openapi.yaml"]
    responses = converse(service.base_url, b"".join(request % name for name in names) + MARKER)
    assert [response.status for response in responses] == [200, 404, 200, 200, 200]
