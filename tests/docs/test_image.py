"""The image: what its steps build runs without root, outside of the checkout, and is checked."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from testing.service import ROOT, free_port, settings_environ
from testing.shell import running
from tests.docs.dockerfile import context_files, health_check, run_stage, stages

pytestmark = pytest.mark.slow

USER = 10001


@pytest.fixture(scope="module")
def image():
    return stages((ROOT / "Dockerfile").read_text())


def test_the_linter_finds_nothing():
    """Hadolint has nothing to say."""
    linter = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, check=False)
    assert linted.stdout.decode() == ""
    assert linted.returncode == 0


@pytest.mark.sec(62)
def test_the_image_needs_neither_root_nor_shell_nor_curl(image):
    """The last stage runs as a numbered user; start and health check are no shell commands."""
    *_, last = image
    assert last.of("USER") == [f"{USER}:{USER}"]
    assert health_check(last)[0] == "python"
    assert last.of("ENTRYPOINT") == ['["tokensvc"]']
    assert last.of("CMD") == ['["serve"]']


@pytest.mark.sec(25, 62)
def test_no_secret_can_get_into_a_layer(image):
    """Only what is named goes to the builder, nothing secret among it, and no step sets one."""
    assert context_files() == {
        Path(name)
        for name in (
            "LICENSE",
            "README.md",
            "openapi.yaml",
            "pyproject.toml",
            "requirements-build.lock",
            "requirements.lock",
            "tokensvc",
        )
    }
    for stage in image:
        assert stage.of("ARG") == []
        assert stage.of("ADD") == []
        assert not any(word in name for name in stage.environ for word in ("SECRET", "KEY"))


@pytest.mark.sec(62, 64)
def test_what_the_image_holds_runs_from_the_wheel(image):
    """
    The steps of the first stage, run in a folder, build a service that starts and gets healthy.

    It needs no home, and changes no file but in its volume and in /tmp: the rest may be read-only.
    """
    first, last = image
    root = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        # The interpreter of the tests is the image's python; what it downloads may stay cached.
        environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        run_stage(first, root, environ)
        installed = contents(root / "opt")
        serve_and_check(root, last)
        assert contents(root / "opt") == installed, "the service writes to its volume alone"
    finally:
        shutil.rmtree(root)


def contents(folder):
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def serve_and_check(root, stage):
    """Start the service as the image does, run the health check, stop it, run the check again."""
    volume = root / "volume"
    volume.mkdir()
    port = free_port()
    binaries = root / "opt/tokensvc/bin"
    assert not (binaries / "pip").exists()
    environ = settings_environ(volume) | {
        "HOME": "/nonexistent",
        "PATH": f"{binaries}:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": stage.environ["PYTHONDONTWRITEBYTECODE"],
        "TOKENSVC_BIND": f"127.0.0.1:{port}",
    }
    check = health_check(stage)
    check[0] = str(binaries / check[0])
    serve = [binaries / "tokensvc", *json.loads(stage.of("CMD")[0])]
    with running(serve, f"http://127.0.0.1:{port}", Path("/"), **environ) as service:
        assert subprocess.run(check, cwd="/", env=environ, check=False).returncode == 0
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    dead = subprocess.run(check, cwd="/", env=environ, capture_output=True, check=False)
    assert dead.returncode != 0
    shown = subprocess.run([binaries / "tokensvc", "openapi"], capture_output=True, check=True)
    assert shown.stdout == (ROOT / "openapi.yaml").read_bytes()
