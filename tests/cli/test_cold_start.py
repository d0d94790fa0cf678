"""
Commands that import what they need themselves.

Other tests start them from a process that has imported everything, which hides a missing import.
`test_shell_lines.py` runs `migrate` and `doctor` of an own environment; its `serve` ends when
gunicorn has loaded the application.
"""

import subprocess
from pathlib import Path

import pytest

from testing.command_line import SCRIPT
from testing.service import free_port, settings_environ
from testing.shell import running


@pytest.mark.parametrize(
    "command",
    [
        "clients create backend --scope tokens:mint",
        "accounts invite ada",
        "backup copy.db",
    ],
)
def test_command_runs_in_a_new_interpreter(migrated_sqlite_url, tmp_path, command):
    environ = settings_environ(tmp_path, TOKENSVC_ACCOUNTS__ENABLED="true")
    ended = subprocess.run(
        [SCRIPT, *command.split()],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_serve_forks_from_a_process_without_threads_and_connections(tmp_path):
    """It is the process that was started. It listens on `--bind`, and ends with 0 on SIGTERM."""
    bind = f"127.0.0.1:{free_port()}"
    environ = settings_environ(tmp_path, TOKENSVC_WORKERS="1", TOKENSVC_BIND="127.0.0.1:1")
    command = [SCRIPT, "serve", "--bind", bind]
    with running(command, f"http://{bind}", tmp_path, **environ) as master:
        lock = tmp_path / "tokensvc.db.lock"
        assert lock.read_text() == f"{master.pid}\n"
        process = Path(f"/proc/{master.pid}")
        assert len([*process.glob("task/*")]) == 1
        files = [file.readlink() for file in process.glob("fd/*")]
        assert [file for file in files if file.is_relative_to(tmp_path)] == [lock]
        master.terminate()
        assert master.wait(30) == 0
