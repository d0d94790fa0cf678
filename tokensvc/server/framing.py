"""
How many bytes of a stream belong to one request (RFC 9112 sections 6 and 7).

It only measures. gunicorn's parser refuses malformed requests, and requests of which it does not
consume exactly the measured bytes.
"""

import re
from enum import Enum, auto

from tokensvc.http.body_reader import MAX_BODY

MAX_HEAD = 32 * 1024
"""Bytes of request line and header fields: enough for a token of 8 KiB, even escaped."""
MAX_CHUNKED = 3 * MAX_BODY
"""Bytes of a body with its chunk sizes, extensions and trailer."""

_LINE_END = b"\r\n"
_SECTION_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_CODING = b"\r\ntransfer-encoding:"
_EXPECT = b"\r\nexpect:"
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)[ \t]*(?:;.*)?", re.DOTALL)


class Progress(Enum):
    """
    What the received bytes are.

    Attributes:
        MORE: A part of a request; the rest has not arrived.
        CONTINUE: As `MORE`, and the client sends the body only after `100 Continue`.
        WHOLE: `Framing.length` bytes are one request.
        REFUSED: A request that must be refused: its end is unknown or too far away.
        LINE_TOO_LONG: The request line does not end within `MAX_HEAD`.
        HEAD_TOO_LONG: The header section does not end within `MAX_HEAD`.
    """

    MORE = auto()
    CONTINUE = auto()
    WHOLE = auto()
    REFUSED = auto()
    LINE_TOO_LONG = auto()
    HEAD_TOO_LONG = auto()


class Framing:
    """
    Measures the request at the start of a buffer that grows.

    Attributes:
        head_length: Bytes of the head with the empty line after it; 0 until that has arrived.
        length: Bytes of the request, once it is `WHOLE`.
        is_streamed: Whether the body comes in chunks or after `100 Continue`.
    """

    __slots__ = (
        "_at",
        "_chunk",
        "_is_last_chunk",
        "_searched",
        "_total",
        "head_length",
        "is_streamed",
        "length",
    )

    def __init__(self) -> None:
        self.head_length = 0
        self.length = 0
        self.is_streamed = False
        self._searched = 0  # where the search for the end of a line or section continues
        self._at = 0  # of chunks: the start of the next size line, chunk or trailer
        self._chunk: int | None = None  # size of the chunk that starts at `_at`
        self._is_last_chunk = False
        self._total = 0  # bytes of all chunks before

    def measure(self, data: bytearray) -> Progress:
        """
        Continue with a buffer that contains what it contained before, and more.

        Args:
            data: The bytes received since the end of the previous request.
        """
        if self.head_length == 0:
            return self._measure_head(data)
        if self.length:
            return Progress.WHOLE if len(data) >= self.length else Progress.MORE
        return self._measure_chunks(data)

    def _measure_head(self, data: bytearray) -> Progress:
        end = data.find(_SECTION_END, max(0, self._searched - 3), MAX_HEAD)
        if end < 0:
            self._searched = len(data)
            if len(data) < MAX_HEAD:
                return Progress.MORE
            if data.find(_LINE_END, 0, MAX_HEAD) < 0:
                return Progress.LINE_TOO_LONG
            return Progress.HEAD_TOO_LONG
        self.head_length = self._at = self._searched = end + len(_SECTION_END)
        head = bytes(data[: end + len(_LINE_END)]).lower()
        if not self._read_fields(head):
            return Progress.REFUSED
        progress = self.measure(data)
        if progress is Progress.MORE and _EXPECT in head and not _is_http_1_0(head):
            self.is_streamed = True
            return Progress.CONTINUE
        return progress

    def _read_fields(self, head: bytes) -> bool:
        """Read from a head in lower case how the body ends; False if the head will be refused."""
        if _EXPECT in head and set(_values(head, _EXPECT)) != {b"100-continue"}:
            return False
        lengths = _values(head, _LENGTH)
        if _CODING in head:
            self.is_streamed = True
            is_chunked = _values(head, _CODING) == [b"chunked"]
            return is_chunked and not lengths and not _is_http_1_0(head)
        if not lengths:
            self.length = self.head_length
            return True
        if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > len(str(MAX_BODY)):
            return False
        self.length = self.head_length + int(lengths[0])
        return int(lengths[0]) <= MAX_BODY

    def _measure_chunks(self, data: bytearray) -> Progress:
        while not self._is_last_chunk:
            if self._chunk is None:
                end = data.find(_LINE_END, max(self._at, self._searched - 1))
                if end < 0:
                    return self._wait(data)
                size = _CHUNK_SIZE.fullmatch(data, self._at, end)
                if size is None:
                    return Progress.REFUSED
                self._chunk = int(size[1], 16)
                self._at = self._searched = end + len(_LINE_END)
                self._is_last_chunk = self._chunk == 0
            elif not self._end_chunk(data, self._chunk):
                return Progress.REFUSED if self._is_refused(data, self._chunk) else self._wait(data)
        return self._measure_trailer(data)

    def _end_chunk(self, data: bytearray, size: int) -> bool:
        end = self._at + size
        if self._total + size > MAX_BODY or data[end : end + 2] != _LINE_END:
            return False
        self._total += size
        self._chunk = None
        self._at = self._searched = end + len(_LINE_END)
        return True

    def _is_refused(self, data: bytearray, size: int) -> bool:
        """Return whether the current chunk has too many bytes, or bytes after its end."""
        received = len(data) - self._at
        return self._total + min(received, size) > MAX_BODY or received >= size + len(_LINE_END)

    def _measure_trailer(self, data: bytearray) -> Progress:
        if data[self._at : self._at + 2] == _LINE_END:
            return self._end(self._at + len(_LINE_END))
        end = data.find(_SECTION_END, max(self._at, self._searched - 3))
        if end < 0:
            return self._wait(data)
        return self._end(end + len(_SECTION_END))

    def _end(self, length: int) -> Progress:
        if length - self.head_length > MAX_CHUNKED:
            return Progress.REFUSED
        self.length = length
        return Progress.WHOLE

    def _wait(self, data: bytearray) -> Progress:
        self._searched = len(data)
        return Progress.MORE if len(data) - self.head_length <= MAX_CHUNKED else Progress.REFUSED


def _is_http_1_0(head: bytes) -> bool:
    return head.lstrip(_LINE_END).partition(_LINE_END)[0].endswith(b" http/1.0")


def _values(head: bytes, name: bytes) -> list[bytes]:
    """Return the values of each field of this name."""
    return [part.partition(_LINE_END)[0].strip(b" \t") for part in head.split(name)[1:]]
