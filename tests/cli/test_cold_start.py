"""
Commands that import what they need themselves.

Other tests start them from a process that has imported everything, which hides a missing import.
`test_shell_lines.py` runs `migrate`, `doctor` and `serve` of an own environment.
"""

import subprocess

import pytest

from testing.command_line import SCRIPT
from testing.service import settings_environ


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
