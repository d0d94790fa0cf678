"""
One chain for all log lines of this process, and one write for each line.

structlog's loggers, those of the standard library (gunicorn, alembic, urllib3), warnings and
uncaught exceptions all use it, because any other sink would not be redacted. A line is JSON, or on
a terminal readable text.
"""

import contextlib
import json
import logging
import os
import re
import select
import socket
import stat
import sys
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog
from structlog.processors import ExceptionRenderer
from structlog.typing import EventDict

from tokensvc.core import current_request
from tokensvc.core.clock import Clock, system_clock
from tokensvc.telemetry import metrics
from tokensvc.telemetry.outages import Outages
from tokensvc.telemetry.redaction import mask, redact_fields
from tokensvc.telemetry.settings import LogSettings

STDERR: Final = 2
WRITE_SECONDS: Final = 0.1
"""Time limit for the reader of a full pipe or socket."""
MAX_TRACEBACK: Final = 16_384
"""Characters that are kept at the end of a traceback."""

_LEVELS = logging.getLevelNamesMapping()
_BARE = re.compile(r"[\w./:@+-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f]")
_encode = msgspec.json.Encoder().encode
_with_traceback = ExceptionRenderer()
_log = structlog.get_logger()
_outages = Outages()


def configure(settings: LogSettings, *, fd: int = STDERR) -> None:
    """
    Send every line of this process to a file descriptor.

    Args:
        settings: Minimum level and format.
        fd: Open file descriptor.
    """
    as_json = settings.format == "json" or (settings.format == "auto" and not os.isatty(fd))
    level = _LEVELS[settings.level.upper()]
    writer = _Writer(fd)
    structlog.configure(
        processors=[_Line(_json if as_json else _text, system_clock, level)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: writer,
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Bridge()], level=level, force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a line for each migration
    logging.captureWarnings(True)
    sys.excepthook = _report_uncaught
    threading.excepthook = _report_uncaught_in_thread
    sys.unraisablehook = _report_unraisable


def log_request(**fields: Any) -> None:
    """
    Write the one line of a request, at level `error` if its failure is internal.

    A 503 is part of an outage, whose begin and end have lines of their own.

    It has the same order, redaction and format as every line. It skips structlog's bound logger,
    which costs as much as the rest of the line.

    Args:
        fields: Fields of the line; `status` is the HTTP status code.
    """
    status: int = fields["status"]
    is_outage = status == HTTPStatus.SERVICE_UNAVAILABLE
    level = "error" if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not is_outage else "info"
    _outages.record(status, fields.get("reason", ""))
    config = structlog.get_config()
    line = config["processors"][0]
    if not isinstance(line, _Line):  # not configured: a test of the application alone
        _log.log(_LEVELS[level.upper()], "request", **fields)
    elif _LEVELS[level.upper()] >= line.level:
        config["logger_factory"]().write(line(None, level, {"event": "request", **fields}))


class _Writer:
    """
    Writer of a line with one system call, so that lines of several processes never mix.

    A pipe or socket that nothing reads delays one line by `WRITE_SECONDS`. Later lines are dropped
    until it is read again; then a line has their number.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._socket: socket.socket | None = None
        # A flag on `fd` itself would also change the writes of other processes.
        with contextlib.suppress(OSError):
            mode = os.fstat(fd).st_mode
            if stat.S_ISFIFO(mode):
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
                self._fd = os.open(f"/proc/self/fd/{fd}", flags)
                weakref.finalize(self, os.close, self._fd).atexit = False
            elif stat.S_ISSOCK(mode):
                self._socket = socket.socket(fileno=os.dup(fd))
                weakref.finalize(self, self._socket.close).atexit = False
        self._is_full = False
        self._has_cut = False
        self._dropped = 0

    def write(self, line: bytes) -> None:
        rest = b"\n" + line if self._has_cut else line
        # A full disk or a closed pipe must not fail the request.
        with contextlib.suppress(OSError):
            while rest:
                try:
                    rest = rest[self._write(rest) :]
                except BlockingIOError:
                    if self._is_full or not _has_room(self._fd):
                        self._is_full = True
                        self._has_cut |= len(rest) < len(line)
                        self._dropped += 1
                        metrics.count_dropped_log_line()
                        return
        self._has_cut = bool(rest) and (self._has_cut or len(rest) < len(line))
        self._is_full = False
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            _log.warning("log_lines_dropped", count=dropped)

    debug = info = warning = error = critical = write

    def _write(self, data: bytes) -> int:
        if self._socket is None:
            return os.write(self._fd, data)
        return self._socket.send(data, socket.MSG_DONTWAIT)


def _has_room(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    return bool(poller.poll(WRITE_SECONDS * 1000))


class _Line:
    """The chain: order the fields, redact them, render the line."""

    def __init__(
        self, render: Callable[[dict[str, Any], str], bytes], clock: Clock, level: int = 0
    ) -> None:
        self.level = level
        self._render = render
        self._clock = clock

    def __call__(self, logger: Any, level: str, fields: EventDict) -> bytes:
        traceback = ""
        if "exc_info" in fields:
            fields = _with_traceback(logger, level, fields)
            traceback = _end_of(fields.pop("exception", ""))
        line = {
            "time": datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds"),
            "level": level,
            "event": None,
        }
        request = current_request.get(None)
        if request is not None:
            line["request_id"] = request.request_id
        line.update(redact_fields(fields))
        return mask(self._render(line, traceback)) + b"\n"


def _end_of(traceback: str) -> str:
    """Shorten a traceback after masking, because half a secret would not be recognized."""
    if len(traceback) <= MAX_TRACEBACK:
        return traceback
    return mask(traceback.encode(errors="backslashreplace")).decode()[-MAX_TRACEBACK:]


def _json(line: dict[str, Any], traceback: str) -> bytes:
    if traceback:
        line["exception"] = traceback
    try:
        return _encode(line)
    except UnicodeEncodeError:
        # A lone surrogate, which JSON can escape and UTF-8 cannot encode.
        return json.dumps(line).encode()


def _text(line: dict[str, Any], traceback: str) -> bytes:
    time, level, event = line.pop("time"), line.pop("level"), line.pop("event")
    words = [time[11:19], f"{level:<7}", json.dumps(event)[1:-1]]
    words += [f"{name}={_word(value)}" for name, value in line.items()]
    text = " ".join(words)
    # Masked before it is split, because a secret can have several lines.
    for source in mask(traceback.encode(errors="backslashreplace")).decode().splitlines():
        text += "\n    | " + _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", source)
    return text.encode(errors="backslashreplace")


def _word(value: object) -> str:
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return json.dumps(value)


class _Bridge(logging.Handler):
    """Handler that passes lines of the standard library's loggers to the chain."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a wrong format string must not lose the line
            message = str(record.msg)
        level = max(logging.DEBUG, min(logging.CRITICAL, record.levelno // 10 * 10))
        _log.log(level, message, logger=record.name, exc_info=record.exc_info or False)


def _report_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
    else:
        _log.critical("uncaught", exc_info=(kind, error, traceback))


def _report_uncaught_in_thread(uncaught: threading.ExceptHookArgs) -> None:
    error = uncaught.exc_value or uncaught.exc_type()
    _log.critical(
        "uncaught",
        thread=uncaught.thread.name if uncaught.thread else None,
        exc_info=(uncaught.exc_type, error, uncaught.exc_traceback),
    )


def _report_unraisable(unraisable: Any) -> None:
    error = unraisable.exc_value or unraisable.exc_type()
    _log.error("unraisable", exc_info=(unraisable.exc_type, error, unraisable.exc_traceback))
