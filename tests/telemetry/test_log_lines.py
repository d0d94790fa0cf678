"""How a line looks, who makes one, and that it leaves in one write."""

import json
import logging as standard_logging
import os
import socket
import subprocess
import sys
import textwrap

import pytest
import structlog

from testing.logs import caught_log
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings

LOG = structlog.get_logger()


def test_line_begins_with_when_how_and_what() -> None:
    """Time in UTC from the given clock, level, event, then the fields as they were given."""
    with caught_log() as log:
        structlog.configure(processors=[logging._Line(logging._json, lambda: 1795003600.25)])
        LOG.warning("something.happened", user_id="john", status=200, code=None)
        assert log.text() == (
            '{"time":"2026-11-18T12:06:40.250+00:00","level":"warning",'
            '"event":"something.happened","user_id":"john","status":200,"code":null}\n'
        )


def test_every_line_of_a_request_names_it() -> None:
    """Lines that a request causes anywhere, the standard library's too, have its id."""
    with caught_log() as log:
        token = logging.request_id.set("r-1")
        LOG.info("inside")
        standard_logging.getLogger("urllib3").warning("inside")
        logging.request_id.reset(token)
        LOG.info("outside")
        assert [line.get("request_id") for line in log.lines()] == ["r-1", "r-1", None]


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
@pytest.mark.parametrize("logger", [LOG, standard_logging.getLogger("tokensvc.somewhere")])
def test_lines_below_the_level_are_not_written(
    level: str, written: list[str], logger: standard_logging.Logger
) -> None:
    """Loggers that were made before obey the level too, both kinds."""
    with caught_log(level=level) as log:
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("x")
        assert [line["level"] for line in log.lines()] == written


def test_one_write_a_line() -> None:
    """A line leaves in one system call, so that lines of several workers never mix."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with caught_log(), reader, writer:
        logging.configure(LogSettings(format="json"), fd=writer.fileno())
        LOG.info("first", more="x" * 900)
        LOG.info("second")
        for event in ("first", "second"):
            datagram = reader.recv(65_536)
            assert datagram.endswith(b"}\n")
            assert json.loads(datagram)["event"] == event


def test_a_line_that_the_system_takes_in_pieces_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a signal the system may have written a part only."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    with caught_log() as log:
        LOG.info("something", detail="x" * 100)
        assert log.lines()[0]["detail"] == "x" * 100


def test_a_log_that_is_gone_fails_nobody() -> None:
    """A closed pipe or a full disk must not become a failed request."""
    reader, writer = os.pipe()
    os.close(reader)
    with caught_log():
        logging.configure(LogSettings(format="json"), fd=writer)
        LOG.info("something")
    os.close(writer)


def test_a_terminal_gets_lines_for_people() -> None:
    """`auto` is JSON, unless somebody is looking."""
    leader, terminal = os.openpty()
    with caught_log():
        logging.configure(LogSettings(format="auto"), fd=terminal)
        LOG.info("request", route="/v1/token", detail="two words")
        assert (
            os.read(leader, 4096)
            .decode()
            .rstrip()
            .endswith('info    request route=/v1/token detail="two words"')
        )
    with caught_log(format="auto") as log:
        LOG.info("request")
        assert log.lines()
    os.close(leader)
    os.close(terminal)


@pytest.mark.parametrize(
    ("ending", "event"),
    [
        ("raise RuntimeError('the end')", "uncaught"),
        ("threading.Thread(target=lambda: int('the end')).start()", "uncaught"),
        ("Broken()", "unraisable"),
        ("warnings.warn('the end')", "<string>"),
        ("logging.getLogger('alembic').error('the end')", "the end"),
    ],
)
def test_whatever_a_process_says_last_is_a_line(ending: str, event: str) -> None:
    """Uncaught exceptions of any thread, warnings and other libraries: standard error is JSON."""
    program = textwrap.dedent("""
        import logging, threading, warnings
        from tokensvc.telemetry import logging as telemetry
        from tokensvc.telemetry.settings import LogSettings

        class Broken:
            def __del__(self):
                raise RuntimeError("the end")

        telemetry.configure(LogSettings(format="json"))
    """)
    finished = subprocess.run(
        [sys.executable, "-c", program + ending], capture_output=True, check=False
    )
    (line,) = [json.loads(text) for text in finished.stderr.decode().splitlines()]
    assert line["event"].startswith(event)
    assert "the end" in json.dumps(line)
