"""The format, sources and writing of log lines."""

import errno
import json
import logging as standard_logging
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence

import pytest
import structlog
from prometheus_client import REGISTRY

from testing.command_line import read_terminal
from testing.logs import caught_log
from tokensvc.core import current_request
from tokensvc.core.current_request import CurrentRequest
from tokensvc.telemetry import logging
from tokensvc.telemetry.settings import LogSettings

LOG = structlog.get_logger()


def test_line_begins_with_time_level_and_event() -> None:
    """The time is UTC; the fields follow in their order."""
    with caught_log() as log:
        structlog.configure(processors=[logging._Line(logging._json, lambda: 1795003600.25)])
        LOG.warning("something.happened", user_id="john", status=200, code=None)
        assert log.text() == (
            '{"time":"2026-11-18T12:06:40.250+00:00","level":"warning",'
            '"event":"something.happened","user_id":"john","status":200,"code":null}\n'
        )


def test_each_line_of_a_request_has_its_id() -> None:
    """Also lines of the standard library's loggers."""
    with caught_log() as log:
        token = current_request.enter(CurrentRequest({}, "r-1", ""))
        LOG.info("inside")
        standard_logging.getLogger("urllib3").warning("inside")
        current_request.leave(token)
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
    """Also those of loggers created earlier, of both kinds."""
    with caught_log(level=level) as log:
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)("x")
        assert [line["level"] for line in log.lines()] == written


def test_line_is_written_with_one_system_call() -> None:
    """So lines of several workers never mix."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with caught_log(), reader, writer:
        logging.configure(LogSettings(format="json"), fd=writer.fileno())
        LOG.info("first", more="x" * 900)
        LOG.info("second")
        for event in ("first", "second"):
            datagram = reader.recv(65_536)
            assert datagram.endswith(b"}\n")
            assert json.loads(datagram)["event"] == event


def test_partly_written_line_is_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal can interrupt a write."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:7]))
    with caught_log() as log:
        LOG.info("something", detail="x" * 100)
        assert log.lines()[0]["detail"] == "x" * 100


def test_line_after_one_that_a_full_disk_cut_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    results = iter([7, OSError(errno.ENOSPC, "full")])

    def write_part(fd: int, data: bytes) -> int:
        result = next(results, len(data))
        if isinstance(result, OSError):
            raise result
        return write(fd, data[:result])

    with caught_log() as log:
        monkeypatch.setattr(os, "write", write_part)
        LOG.info("cut")
        LOG.info("whole")
        assert json.loads(log.text().splitlines()[-1])["event"] == "whole"


def test_closed_or_full_log_fails_no_request() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with caught_log():
        logging.configure(LogSettings(format="json"), fd=writer)
        LOG.info("something")
    os.close(writer)


@pytest.mark.sec(65)
@pytest.mark.parametrize(
    "open_pair", [os.pipe, lambda: [end.detach() for end in socket.socketpair()]]
)
def test_log_that_nothing_reads_stops_no_thread(open_pair: Callable[[], Sequence[int]]) -> None:
    """Lines are dropped, and counted once it is read again; each line stays whole."""
    reader, writer = open_pair()
    counted = REGISTRY.get_sample_value("tokensvc_log_lines_dropped_total")
    with caught_log():
        logging.configure(LogSettings(format="json"), fd=writer)
        for number in range(100):
            LOG.info("something", number=number, detail="x" * 10_000)
        kept = os.read(reader, 2**20).count(b"\n")
        LOG.info("something else")
        *_, last, dropped = map(json.loads, filter(None, os.read(reader, 2**20).splitlines()))
        assert os.get_blocking(writer)
    os.close(reader)
    os.close(writer)
    assert last["event"] == "something else"
    assert (dropped["event"], dropped["count"]) == ("log_lines_dropped", 100 - kept)
    now_counted = REGISTRY.get_sample_value("tokensvc_log_lines_dropped_total")
    assert now_counted == counted + 100 - kept
    assert 0 < kept < 100


def test_auto_format_is_text_on_a_terminal() -> None:
    """Otherwise it is JSON."""
    leader, terminal = os.openpty()
    with caught_log():
        logging.configure(LogSettings(format="auto"), fd=terminal)
        LOG.info("request", route="/v1/token", detail="two words")
    os.close(terminal)
    line = read_terminal(leader).rstrip()
    assert line.endswith('info    request route=/v1/token detail="two words"')
    with caught_log(format="auto") as log:
        LOG.info("request")
        assert log.lines()


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
def test_uncaught_exceptions_and_warnings_are_json_lines(ending: str, event: str) -> None:
    """Of any thread and of other libraries."""
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
