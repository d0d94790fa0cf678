"""
How many bytes of a stream belong to one request (RFC 9112 sections 6 and 7).

It only measures. gunicorn's parser refuses malformed requests, and requests of which it does not
consume exactly the measured bytes.
"""

import re
from dataclasses import dataclass
from enum import Enum

MAX_HEAD = 32 * 1024
"""Bytes of request line and header fields: enough for a token of 8 KiB, even escaped."""
MAX_BODY = 16 * 1024
"""Bytes of a body."""
MAX_CHUNKED = 3 * MAX_BODY
"""Bytes of a body with its chunk sizes, extensions and trailer."""

_LINE_END = b"\r\n"
_SECTION_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_CODING = b"\r\ntransfer-encoding:"
_EXPECT = b"\r\nexpect:"
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]+)[ \t]*(?:;.*)?", re.DOTALL)


class Progress(Enum):
    """Parse progress of the received bytes."""

    MORE = "a part of a request; the rest has not arrived"
    CONTINUE = "as MORE, and the client sends the body only after `100 Continue`"
    WHOLE = "one request of `Framing.length` bytes"
    REFUSED = "a request that must be refused: its end is unknown or too far away"
    LINE_TOO_LONG = "a request line that does not end within `MAX_HEAD`"
    HEAD_TOO_LONG = "a header section that does not end within `MAX_HEAD`"


@dataclass(slots=True)
class Framing:
    """
    Measures the request at the start of a buffer that grows.

    Attributes:
        head_length: Bytes of the head with the empty line after it; 0 until that has arrived.
        length: Bytes of the request, once it is `WHOLE`.
        is_streamed: Whether the body comes in chunks or after `100 Continue`.
    """

    head_length: int = 0
    length: int = 0
    is_streamed: bool = False
    _searched: int = 0  # where the search for the end of a line or section continues
    _at: int = 0  # of chunks: the start of the next size line, chunk or trailer
    _chunk: int | None = None  # size of the chunk that starts at `_at`; 0: the trailer does
    _total: int = 0  # bytes of all chunks before

    def measure(self, data: bytearray) -> Progress:
        """Continue with a buffer that contains what it contained before, and more."""
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
            has_line = data.find(_LINE_END, 0, MAX_HEAD) >= 0
            return Progress.HEAD_TOO_LONG if has_line else Progress.LINE_TOO_LONG
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
        while self._chunk != 0:
            if self._chunk is None:
                end = data.find(_LINE_END, max(self._at, self._searched - 1))
                if end < 0:
                    return self._wait(data)
                size = _CHUNK_SIZE.fullmatch(data, self._at, end)
                if size is None:
                    return Progress.REFUSED
                self._chunk = int(size[1], 16)
            else:
                end = self._at + self._chunk
                total = self._total + min(self._chunk, len(data) - self._at)
                if total > MAX_BODY or not _LINE_END.startswith(data[end : end + len(_LINE_END)]):
                    return Progress.REFUSED
                if len(data) < end + len(_LINE_END):
                    return self._wait(data)
                self._total += self._chunk
                self._chunk = None
            self._at = self._searched = end + len(_LINE_END)
        # The end of the size line begins the empty line after a trailer without fields.
        end = data.find(_SECTION_END, max(self._at - 2, self._searched - 3))
        if end < 0:
            return self._wait(data)
        self.length = end + len(_SECTION_END)
        return self._bounded(Progress.WHOLE, self.length)

    def _wait(self, data: bytearray) -> Progress:
        self._searched = len(data)
        return self._bounded(Progress.MORE, len(data))

    def _bounded(self, progress: Progress, length: int) -> Progress:
        return progress if length - self.head_length <= MAX_CHUNKED else Progress.REFUSED


def _is_http_1_0(head: bytes) -> bool:
    return head.lstrip(_LINE_END).partition(_LINE_END)[0].endswith(b" http/1.0")


def _values(head: bytes, name: bytes) -> list[bytes]:
    """Return the values of each field of this name."""
    return [part.partition(_LINE_END)[0].strip(b" \t") for part in head.split(name)[1:]]
