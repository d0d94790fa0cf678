"""The units for systemd: valid, restricted, and told when the service is ready."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from testing.service import ROOT, running_service

UNITS = ROOT / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
PROGRAMS = ("opt/tokensvc/bin/tokensvc", "opt/tokensvc/bin/back-up", "bin/kill")
TARGETS = ("basic", "multi-user", "network-online", "shutdown", "sysinit", "timers")
"""Units of systemd that ours name."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root folder with the units, installed as the first lines of the service say."""
    folder = tmp_path_factory.mktemp("systemd")
    system = folder / "etc" / "systemd" / "system"
    system.mkdir(parents=True)
    for path in UNITS.glob("tokensvc-*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, system / path.name)
    for name in TARGETS:
        (system / f"{name}.target").write_text("[Unit]\n")
    for name in PROGRAMS:
        program = folder / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
    return folder


def analyze(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    command = [program, f"--root={root}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_units_are_valid(root: Path) -> None:
    verified = analyze(root, "verify", *SERVICES, "tokensvc-backup.timer")
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.sec(62)
@pytest.mark.parametrize("service", SERVICES)
def test_exposure_of_a_unit_is_below_2(root: Path, service: str) -> None:
    """The scale of systemd goes from 0 to 10."""
    rated = analyze(root, "security", "--offline=true", "--threshold=20", service)
    assert rated.returncode == 0, rated.stdout


def test_systemd_is_told_that_the_service_is_ready(tmp_path: Path) -> None:
    """Other units and an upgrade wait for it (`Type=notify`)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        path = str(tmp_path / "notify")
        listener.bind(path)
        listener.settimeout(30)
        with running_service(tmp_path, NOTIFY_SOCKET=path):
            assert listener.recv(4096).startswith(b"READY=1\n")


def test_wrapped_command_is_a_unit_with_the_settings_of_the_service(tmp_path: Path) -> None:
    """The prefix of its name brings the secrets and the restrictions."""
    fake = tmp_path / "systemd-run"
    fake.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    wrapped = subprocess.run(
        [UNITS / "tokensvc", "users", "suspend", "ada", "--reason", "two words"],
        env=environ,
        input="",
        capture_output=True,
        text=True,
        check=True,
    )
    words = wrapped.stdout.splitlines()
    at = words.index("/opt/tokensvc/bin/tokensvc")
    assert words[at + 1 :] == ["users", "suspend", "ada", "--reason", "two words"]
    (unit,) = [word for word in words[:at] if word.startswith("--unit=")]
    (folder,) = [path.name for path in UNITS.iterdir() if path.is_dir()]
    assert unit.removeprefix("--unit=").startswith(folder.removesuffix(".service.d"))
