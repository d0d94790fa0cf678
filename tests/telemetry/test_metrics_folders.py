"""The temporary folder in which the workers of one service count."""

import fcntl
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

from testing.command_line import run_process
from testing.service import Service, free_port, running_service, settings_environ, start_service
from testing.waiting import has_ended, wait_until
from tokensvc.telemetry import multiprocess


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Return the folder that services use for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


def start(folder: Path, temporary: Path) -> Service:
    folder.mkdir()
    return start_service(folder, TMPDIR=str(temporary))


def folders(temporary: Path) -> set[str]:
    return {path.name for path in temporary.glob("tokensvc-worker-metrics-*")}


def test_folder_is_removed_by_the_master_alone(tmp_path: Path, temporary: Path) -> None:
    """Workers that a reload replaces leave it."""
    with running_service(tmp_path, TMPDIR=str(temporary)) as service:
        before = folders(temporary)
        assert len(before) == 1
        service.reload()
        assert folders(temporary) == before
    assert not folders(temporary)


def test_refused_start_leaves_no_folder(tmp_path: Path, temporary: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    environ = settings_environ(
        tmp_path, TMPDIR=str(temporary), TOKENSVC_BIND=bind, STREAM_API_KEY=""
    )
    assert "STREAM_API_KEY" in run_process(tmp_path, environ, "serve").err
    assert not folders(temporary)


def test_start_removes_only_the_folders_of_killed_services(tmp_path: Path, temporary: Path) -> None:
    running = start(tmp_path / "running", temporary)
    (used,) = folders(temporary)
    killed = start(tmp_path / "killed", temporary)
    (left,) = folders(temporary) - {used}
    killed.kill()
    assert folders(temporary) == {used, left}
    later = start(tmp_path / "later", temporary)
    assert used in folders(temporary)
    assert left not in folders(temporary)
    later.stop()
    assert folders(temporary) == {used}
    running.stop()


def test_folder_stays_while_a_worker_of_a_killed_master_runs(
    tmp_path: Path, temporary: Path
) -> None:
    """The worker ends soon, but until then it counts."""
    service = start(tmp_path / "killed", temporary)
    (worker,) = service.worker_pids()
    os.kill(worker, signal.SIGSTOP)
    service.process.kill()
    service.process.wait()
    (left,) = folders(temporary)
    start(tmp_path / "next", temporary).stop()
    assert folders(temporary) == {left}
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: has_ended(worker), "the worker has ended")
    start(tmp_path / "last", temporary).stop()
    assert not folders(temporary)


@pytest.mark.parametrize("stage", ["removed", "locked", "removed before the lock"])
def test_folder_that_another_start_takes_for_abandoned_is_replaced(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its creation and its lock it looks abandoned."""
    made = []
    make = tempfile.mkdtemp

    def make_and_interfere(**options: str) -> str:
        made.append(make(dir=tmp_path, **options))
        if len(made) == 1 and stage == "removed":
            shutil.rmtree(made[0])
        elif len(made) == 1 and stage == "locked":
            assert multiprocess._lock(Path(made[0])) is not None
        return made[-1]

    def remove_and_lock(descriptor: int, operation: int) -> None:
        if len(made) == 1 and stage == "removed before the lock":
            shutil.rmtree(made[0])
        lock(descriptor, operation)

    lock = fcntl.flock
    monkeypatch.setattr(fcntl, "flock", remove_and_lock)
    monkeypatch.setattr(tempfile, "mkdtemp", make_and_interfere)
    assert multiprocess._make_locked_folder() == Path(made[1])


def test_link_is_not_locked(tmp_path: Path) -> None:
    """Anyone can create such a name in the system's temporary folder."""
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    assert multiprocess._lock(tmp_path / "link") is None


def test_folder_of_another_user_is_not_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    assert multiprocess._lock(tmp_path) is None
