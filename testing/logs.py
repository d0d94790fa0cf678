"""The log of this process, captured in a file."""

import json
import logging as standard_logging
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import structlog

from tokensvc.telemetry import logging, redaction
from tokensvc.telemetry.settings import LogSettings


class CaughtLog:
    """The written log."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def bytes(self) -> bytes:
        self._file.seek(0)
        return self._file.read()

    def text(self) -> str:
        return self.bytes().decode()

    def lines(self) -> list[dict[str, Any]]:
        """Return the parsed lines. Each must be complete JSON."""
        text = self.text()
        assert text == "" or text.endswith("\n")
        return [json.loads(line) for line in text.splitlines()]


@contextmanager
def caught_log(**settings: str) -> Iterator[CaughtLog]:
    """Configure the log as the service does, into a file and by default as JSON. Restore it."""
    root = standard_logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook, threading.excepthook)
    unraisable, concealed = sys.unraisablehook, redaction._secrets
    with tempfile.TemporaryFile() as file:
        logging.configure(LogSettings(**{"format": "json", **settings}), fd=file.fileno())
        try:
            yield CaughtLog(file)
        finally:
            structlog.reset_defaults()
            standard_logging.captureWarnings(False)
            root.handlers[:], root.level, sys.excepthook, threading.excepthook = before
            sys.unraisablehook, redaction._secrets = unraisable, concealed
