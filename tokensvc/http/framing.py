"""
Is a request whole: where its head and its body end, from the bytes alone.

Only to know when to call the parser, which alone decides what a request is: whatever is odd counts
as whole, so that it is refused at once.
"""

import re

from gunicorn.http.errors import InvalidChunkExtension, LimitRequestHeaders, LimitRequestLine

from tokensvc.http.intake import MAX_BODY

MAX_HEAD = 64 * 1024
MAX_CHUNKED = 4 * MAX_BODY
"""Bytes of a chunked body with its chunk sizes: more of these than that is no honest body."""

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")


def is_whole(received: bytes) -> bool:
    """
    Tell whether the parser need not wait for more.

    Raises:
        ParseException: There is more than any request may have, and still no end.
    """
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return _is_odd_head(received)
    head = received[: end + 2].lower()
    start = end + len(_END_OF_HEAD)
    at = head.find(_LENGTH)
    if at < 0:
        return b"\r\ntransfer-encoding:" not in head or _are_chunks_whole(received, start)
    at += len(_LENGTH)
    length = head[at : head.index(b"\r\n", at)].strip()
    if not length.isdigit() or len(length) > len(str(MAX_BODY)) or int(length) > MAX_BODY:
        return True
    return len(received) >= start + int(length)


def expects_continue(received: bytes) -> bool:
    """Tell whether the client waits for leave to send its body (RFC 9110 section 10.1.1)."""
    head = received[: received.find(_END_OF_HEAD) + 2].lower()
    return b"\r\nexpect: 100-continue\r\n" in head


def _is_odd_head(received: bytes) -> bool:
    # A bare LF is refused whatever follows (RFC 9112 section 2.2).
    if received.count(b"\n") != received.count(b"\r\n"):
        return True
    if len(received) > MAX_HEAD:
        if b"\r\n" in received:
            raise LimitRequestHeaders("no end")
        raise LimitRequestLine(len(received), MAX_HEAD)
    return False


def _are_chunks_whole(received: bytes, at: int) -> bool:
    """Walk from chunk to chunk (RFC 9112 section 7.1)."""
    start, content = at, 0
    while True:
        line_end = received.find(b"\r\n", at)
        if line_end < 0:
            break
        size = _CHUNK_SIZE.fullmatch(received, at, line_end)
        if size is None:
            return True
        if int(size[1], 16) == 0:
            trailer = received[line_end + 2 :]
            if trailer.startswith(b"\r\n") or _END_OF_HEAD in received[line_end:]:
                return True
            break
        at = line_end + 2 + int(size[1], 16)
        content += min(at, len(received)) - (line_end + 2)
        if content > MAX_BODY:
            return True
        if len(received) < at + 2:
            break
        if received[at : at + 2] != b"\r\n":
            return True
        at += 2
    if len(received) - start > MAX_CHUNKED:
        raise InvalidChunkExtension("more sizes than content")
    return False
