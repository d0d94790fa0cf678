"""Run `tokensvc` commands in this process, or as a process where a test needs one."""

import contextlib
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import structlog
from click.testing import CliRunner

from testing.service import settings_environ
from testing.warm_start import run_program
from tokensvc.cli import main
from tokensvc.telemetry import redaction

SCRIPT = Path(sys.executable).with_name("tokensvc")
STAYING = {"serve", "worker"}
"""Commands that replace their process or block its signals."""


@dataclass
class Ended:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def read_terminal(leader: int) -> str:
    """
    Read what was written to a pseudo-terminal until the other end is closed; close this end.

    A single read may return only a part of it.
    """
    shown = bytearray()
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    return shown.decode()


def run_command(
    folder: Path, environ: Mapping[str, str], *arguments: str | bytes, stdin: str = ""
) -> Ended:
    """Run a command in this process, in `folder` and only with the variables of `environ`."""
    words = [os.fsdecode(argument) for argument in arguments]
    assert not STAYING & {*words[:1]}, f"run {words[0]} as a process"
    runner = CliRunner(capture="fd")  # the log goes to file descriptor 2 itself
    with _own_process_state(folder, environ):
        ended = runner.invoke(main, words, input=os.fsencode(stdin), catch_exceptions=False)
    return Ended(ended.exit_code, ended.stdout, ended.stderr)


def run_process(
    folder: Path, environ: Mapping[str, str], *arguments: str, stdin: str = ""
) -> Ended:
    """Run a command through the console script, as an operator does."""
    ended = run_program([SCRIPT, *arguments], cwd=folder, env=environ, stdin=stdin.encode())
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def run_json(folder: Path, *arguments: str, stdin: str = "", **settings: str) -> Any:
    """Run `tokensvc … --json` with the settings of a service in `folder`. Return the output."""
    environ = settings_environ(folder, **settings)
    ended = run_command(folder, environ, *arguments, "--json", stdin=stdin)
    assert ended.code == 0, ended.err
    return ended.json


@contextlib.contextmanager
def _own_process_state(folder: Path, environ: Mapping[str, str]) -> Iterator[None]:
    """Set the environment of a new process for the block. Restore it and the logging."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        with (
            mock.patch.dict(os.environ, environ, clear=True),
            mock.patch.object(redaction, "_secrets", ()),
            contextlib.chdir(folder),
        ):
            yield
    finally:
        sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
        logging.captureWarnings(capture=False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()
