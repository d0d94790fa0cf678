"""What a person would type: lines for a shell, `make run`, a service of one's own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import urllib3

from testing.service import ROOT

START_SECONDS = 30.0
DEVELOPMENT = (sys.executable, "-m", "tokensvc.cli.development")
"""What `make run` runs."""

_THIS_CHECKOUT = {"PYTHONPATH": str(ROOT)}
"""Wherever the environment was installed from."""
_LAST_LINE = "Ctrl-C stops the service.\n"
CURL_STAND_IN = Path(__file__).parent / "doubles" / "curl.py"


def path_with_curl(folder: Path) -> str:
    """
    Give a PATH on which `curl` is.

    The real one where the machine has it; else a stand-in for the few options that we print, since
    the tests need no more than Python and make.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("curl", path=path):
        return path
    script = folder / "bin" / "curl"
    script.parent.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{CURL_STAND_IN}" "$@"\n')
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{path}"


def run_shell(script: str, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a script as a person would who stands in `folder`; the first failure ends it."""
    return subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=folder,
        env={"HOME": str(folder), **_THIS_CHECKOUT, **environ, "PATH": path_with_curl(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def make_run(
    folder: Path, bind: str, **environ: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Give the process and what it printed, once it has printed all."""
    with subprocess.Popen(
        [*DEVELOPMENT, "--bind", bind],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **_THIS_CHECKOUT, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line == _LAST_LINE:
                break
        try:
            yield process, "".join(printed)
        finally:
            process.send_signal(signal.SIGINT)


@contextmanager
def running(
    command: Sequence[str | Path], base_url: str, cwd: Path, **environ: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service, and give its process once it is ready. It is gone when the block ends."""
    process = subprocess.Popen(command, cwd=cwd, env=environ, stderr=subprocess.DEVNULL)
    try:
        _wait_until_ready(process, base_url)
        yield process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _wait_until_ready(process: subprocess.Popen[bytes], base_url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, f"it ended with {process.returncode}"
        with suppress(urllib3.exceptions.HTTPError):
            answer = urllib3.request(
                "GET",
                f"{base_url}/readyz",
                headers={"Connection": "close"},
                retries=False,
                timeout=2.0,
            )
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise AssertionError("it did not get ready")
