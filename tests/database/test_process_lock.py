"""The lock beside the SQLite file: one process tree serves from it."""

import os
import signal
import stat
import subprocess
import sys

import pytest

from testing.service import ROOT
from tokensvc.core.errors import StartupError
from tokensvc.database.lock import AlreadyServedError, hold_process_lock

HOLD = """
import os, sys, time
from pathlib import Path
from tokensvc.database.lock import hold_process_lock
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
    """Give a function that starts a process which holds the lock."""
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


def test_a_second_process_is_refused(path, holder):
    """It is told which process to stop."""
    process, _ = holder()
    with pytest.raises(AlreadyServedError, match=f"served by process {process.pid} already"):
        hold_process_lock(path)
    assert issubclass(AlreadyServedError, StartupError)


def test_a_killed_holder_leaves_no_lock(path, holder):
    """A crash needs no cleaning up."""
    process, _ = holder()
    process.send_signal(signal.SIGKILL)
    process.wait()
    hold_process_lock(path).release()


def test_workers_hold_the_lock_of_their_master(path, holder):
    """While a worker of a killed master still answers, no second tree starts."""
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
            hold_process_lock(path).release()
        except AlreadyServedError:
            continue
        break


def test_a_released_lock_is_free(path):
    """The same process may take it again, and the file stays for the owner alone."""
    lock = hold_process_lock(path)
    with pytest.raises(AlreadyServedError, match=str(os.getpid())):
        hold_process_lock(path)
    lock.release()
    hold_process_lock(path).release()
    assert stat.S_IMODE(path.with_name("tokensvc.db.lock").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    """One sentence for the operator, that names the file; no traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StartupError, match=r"cannot write .*file/tokensvc\.db\.lock"):
        hold_process_lock(tmp_path / "file" / "tokensvc.db")
