"""The image runs without root and outside of the checkout, and its health check works."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from testing.service import ROOT, free_port, settings_environ
from testing.shell import running
from tests.docs.dockerfile import context_files, health_check, run_stage, stages
from tests.docs.test_locks import pins

pytestmark = pytest.mark.slow

USER = 10001


@pytest.fixture(scope="module")
def image():
    return stages((ROOT / "Dockerfile").read_text())


def test_linter_reports_nothing():
    linter = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, check=False)
    assert linted.stdout.decode() == ""
    assert linted.returncode == 0


@pytest.mark.sec(62)
def test_image_runs_without_root_shell_and_curl(image):
    """The last stage has a numeric user. Start and health check are not shell commands."""
    *_, last = image
    assert last.arguments("USER") == [f"{USER}:{USER}"]
    assert health_check(last)[0] == "python"
    assert last.arguments("ENTRYPOINT") == ['["tokensvc"]']
    assert last.arguments("CMD") == ['["serve"]']


def test_image_names_its_title_and_licence(image):
    """The release adds what only it knows: the source, the version and the commit."""
    *_, last = image
    (labels,) = last.arguments("LABEL")
    prefix = "org.opencontainers.image."
    assert re.findall(rf'{prefix}(\w+)="[^"]', labels)[:3] == ["title", "description", "licenses"]
    base = re.search(rf'{prefix}base.name="docker.io/library/([^"]+)"', labels)[1]
    assert last.name.partition("@")[0] == base
    release = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    added = re.findall(rf"^ +{prefix}(\w+)=", release, re.MULTILINE)
    assert added == ["source", "version", "revision"]


@pytest.mark.sec(64)
def test_base_images_are_pinned_by_one_digest(image):
    bases = {stage.name.partition(" AS ")[0] for stage in image}
    (base,) = bases
    assert re.fullmatch(r"python:3\.13-slim-bookworm@sha256:[0-9a-f]{64}", base)


@pytest.mark.sec(25, 62)
def test_layers_contain_no_secret(image):
    """The build context contains only named files, and no step sets a secret."""
    assert context_files() == {
        Path(name)
        for name in (
            "LICENSE",
            "README.md",
            "deploy/compile-argon2",
            "hatch_build.py",
            "llms.txt",
            "openapi.yaml",
            "pyproject.toml",
            "requirements-argon2.lock",
            "requirements-build.lock",
            "requirements-otel.lock",
            "requirements.lock",
            "tokensvc",
        )
    }
    for stage in image:
        assert set(stage.arguments("ARG")) <= {"LOCK=requirements.lock", "POSTGRESQL_CLIENT="}
        assert stage.arguments("ADD") == []
        assert not any(word in name for name in stage.environ for word in ("SECRET", "KEY"))


@pytest.mark.sec(62, 64)
def test_built_stage_runs_and_writes_only_to_its_volume(image):
    """
    The steps of the first stage build a service that starts and becomes healthy.

    It needs no home folder. It changes files only in its volume and in /tmp.
    """
    first, last = image
    root = Path(tempfile.mkdtemp(prefix="image-"))
    try:
        # The interpreter of the tests replaces the image's python.
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {**os.environ, "PIP_NO_COMPILE": "1", "PATH": path}
        run_stage(first, root, environ)
        # It also writes compiled modules, as pip does in the image.
        show = [root / "opt/tokensvc/bin/tokensvc", "openapi"]
        shown = subprocess.run(show, capture_output=True, check=True)
        assert shown.stdout == (ROOT / "openapi.yaml").read_bytes()
        installed = contents(root / "opt")
        check_sbom(next(root.glob("opt/dist/*.whl")))
        serve_and_check(root, last)
        assert contents(root / "opt") == installed, "the service may write only to its volume"
    finally:
        shutil.rmtree(root)


def check_sbom(wheel):
    """PEP 770: it names each package of the lock file, and says what needs which."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if ".dist-info/sboms/" in name]
        sbom = json.loads(archive.read(name))
    listed = {(part["name"], part["version"]) for part in sbom["components"] if "purl" in part}
    locked = pins("requirements.lock").items()
    assert listed == {(package, version) for package, found in locked for version in found}
    needs = {one["ref"].partition("@")[0]: one["dependsOn"] for one in sbom["dependencies"]}
    required = {re.search(r"/(.+)@", pin)[1] for pin in needs["pkg:pypi/tokensvc"]}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert required == {re.match(r"[a-z0-9-]+", one.lower())[0] for one in project["dependencies"]}
    assert [pin.partition("@")[0] for pin in needs["pkg:pypi/argon2-cffi"]] == [
        "pkg:pypi/argon2-cffi-bindings"
    ]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist"]
    subprocess.run([*command, "--directory", folder], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(*folder.iterdir()) as archive:
        yield archive


def test_links_of_the_description_work_at_a_package_index(sdist):
    """It has no other file: each link names one of the repository, or leads elsewhere."""
    (name,) = [name for name in sdist.getnames() if name.endswith("/PKG-INFO")]
    description = sdist.extractfile(name).read().decode()
    links = re.findall(r"\]\(([^)]*)\)", description)
    images = re.findall(r'src(?:set)?="([^"]*)"', description)
    shown = re.findall(r"!\[[^]]*\]\(([^)]*)\)", description)
    source = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Source"]
    own = [url.partition("#")[0] for url in [*links, *images] if url.startswith(f"{source}/")]
    assert len(own) > 50
    for url in own:
        kind = "raw" if url in {*images, *shown} else "blob"
        assert (ROOT / url.removeprefix(f"{source}/{kind}/main/")).exists(), url
    elsewhere = [url for url in [*links, *images] if not url.startswith(("https://", "#"))]
    assert elsewhere == []


def test_sdist_has_only_what_the_wheel_needs(sdist):
    """A stray file of the checkout does not get into it. `make dist` builds the wheel from it."""
    names = {Path(name).parts[1] for name in sdist.getnames()}
    in_image = {file.parts[0] for file in context_files()}
    of_image_only = {name for name in in_image if name.startswith("requirements-")} | {"deploy"}
    assert names == (in_image - of_image_only) | {"CHANGELOG.md", "PKG-INFO", ".gitignore"}


def contents(folder):
    return {(path, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def serve_and_check(root, stage):
    """Start the service as the image does. Run the health check before and after a stop."""
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
    serve = [binaries / "tokensvc", *json.loads(stage.arguments("CMD")[0])]
    with running(serve, f"http://127.0.0.1:{port}", Path("/"), **environ) as service:
        assert subprocess.run(check, cwd="/", env=environ, check=False).returncode == 0
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0
    stopped = subprocess.run(check, cwd="/", env=environ, capture_output=True, check=False)
    assert stopped.returncode != 0
