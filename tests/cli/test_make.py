"""`make run` on a machine that lacks something: one sentence, and never pip's lists."""

import re
import subprocess
from pathlib import Path

import pytest

from testing.service import ROOT

OLD = "exit 1"
"""A Python that is too old, for the check of its version."""


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a new clone, as far as make reads it."""
    for name in ("Makefile", "pyproject.toml", *(lock.name for lock in ROOT.glob("*.lock"))):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def make(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_old_python_is_told_in_one_sentence(clone: Path) -> None:
    old = script(clone / "old-python", OLD)
    ended = make(clone, "run", f"PYTHON={old}")
    sentence, last = ended.stderr.splitlines()
    assert sentence.startswith(f"Python 3.11 or newer is needed, and {old} is not: install one")
    assert last.startswith("make: ***")
    assert not (clone / ".venv").exists()


def test_first_python_that_is_new_enough_is_used(clone: Path) -> None:
    """On a Mac `python3` is too old, and an installed one has its version in its name."""
    script(clone / "bin" / "python3", OLD)
    script(clone / "bin" / "python3.12", "exit 0")
    ended = make(clone, "-n", "run", PATH=f"{clone}/bin:/usr/bin:/bin")
    assert re.findall(r"(\S+) -m venv", ended.stdout) == ["python3.12"]


@pytest.mark.parametrize(("interpreter", "options"), [("other", "--clear"), ("same", "")])
def test_venv_of_another_interpreter_is_cleared(
    clone: Path, interpreter: str, options: str
) -> None:
    """Without that it keeps the link to the previous one."""
    script(clone / ".venv/bin/python", f'case "$1" in -c) echo {interpreter};; *) exit 1;; esac')
    record = f'case "$1" in -c) echo same;; *) echo "$@" > {clone}/made;; esac'
    python = script(clone / "python", record)
    make(clone, "run", f"PYTHON={python}")
    assert (clone / "made").read_text().split() == ["-m", "venv", *options.split(), ".venv"]


def test_no_network_is_told_in_one_sentence(clone: Path) -> None:
    text = "WARNING: Retrying: Failed to establish a new connection\nERROR: from versions: none"
    script(clone / ".venv/bin/python", f"echo '{text}'; exit 1")
    ended = make(clone, "run", f"PYTHON={script(clone / 'python', 'exit 0')}")
    assert ended.stdout == "Installing the service into .venv\n"
    sentence, log, _ = ended.stderr.splitlines()
    assert "check the network" in sentence
    assert text in (clone / log.split()[-1].rstrip(".")).read_text()


def test_make_run_starts_this_module_with_bind() -> None:
    shown = make(ROOT, "-n", "run", "BIND=0.0.0.0:8123", "ISSUER=1").stdout
    last = shown.splitlines()[-1]
    assert last == ".venv/bin/python -m development --bind 0.0.0.0:8123 --issuer"


def test_make_run_installs_only_what_the_service_needs(clone: Path) -> None:
    """The tools of the tests are many times larger."""
    installed = re.findall(r"-r (\S+)", make(clone, "-n", "run").stdout)
    assert installed == ["requirements-pip.lock", "requirements.lock", "requirements-build.lock"]
