"""The lock next to the SQLite file: only one process tree serves from it."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from testing.service import ROOT
from tokensvc.core.errors import StartupError
from tokensvc.database.sqlite import AlreadyServedError, hold_process_lock

HOLD = """
import os, sys, time
from pathlib import Path
from tokensvc.database.sqlite import hold_process_lock
lock = hold_process_lock(Path(sys.argv[1]))
child = os.fork() if "fork" in sys.argv else None
if child != 0:
    print(child or "", flush=True)
time.sleep(600)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tokensvc.db"


@pytest.fixture
def holder(path):
    """Return a function that starts a process which holds the lock."""
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(path), *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_second_process_is_refused(path, holder):
    """The text names the process to stop."""
    process, _ = holder()
    with pytest.raises(AlreadyServedError, match=f"Process {process.pid} already serves"):
        hold_process_lock(path)
    assert issubclass(AlreadyServedError, StartupError)


def test_killed_process_releases_the_lock(path, holder):
    process, _ = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold_process_lock(path)()


def test_workers_keep_the_lock_of_a_killed_master(path, holder):
    """No second tree starts while a worker still serves."""
    process, worker = holder("fork")
    process.send_signal(signal.SIGKILL)
    process.wait()
    try:
        with pytest.raises(AlreadyServedError):
            hold_process_lock(path)
    finally:
        os.kill(int(worker), signal.SIGKILL)
    while True:
        try:
            hold_process_lock(path)()
        except AlreadyServedError:
            continue
        break


def test_released_lock_can_be_taken_again(path):
    """The file stays readable for its owner only."""
    release = hold_process_lock(path)
    with pytest.raises(AlreadyServedError, match=str(os.getpid())):
        hold_process_lock(path)
    release()
    hold_process_lock(path)()
    assert stat.S_IMODE(path.with_name("tokensvc.db.lock").stat().st_mode) == 0o600


def test_unwritable_folder_is_named(tmp_path):
    """In one sentence without a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"Cannot create files in .*file: File exists"):
        hold_process_lock(tmp_path / "file" / "tokensvc.db")
